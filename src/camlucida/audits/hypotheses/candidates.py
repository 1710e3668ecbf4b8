"""Candidates for spurious cues: clusters of the explanations of one class, or of all images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from camlucida.audits.hypotheses.arrays import AuditArrays
from camlucida.audits.hypotheses.outlier_channels import outlier_groups
from camlucida.audits.hypotheses.settings import Settings
from camlucida.audits.hypotheses.spray import MIN_ITEMS, hellinger_points, spectral_partitions
from camlucida.audits.plan import ExplainedClass

Indices: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

Kind: TypeAlias = Literal["fixed position", "any position", "border"]
"""Fixed position: the maps are alike. Any position: the relevant channels are alike. Border: the map lies there."""
Grouping: TypeAlias = Literal["predicted", "label", "all"]
"""The images that were clustered: those predicted as a class, those with its label, or all images."""

NUMBERS = (3, 6, 8)
"""Numbers of clusters beside that of the eigengap: a small cluster may appear in a finer partition only."""
MIN_NEIGHBORS, MAX_NEIGHBORS, IMAGES_PER_NEIGHBOR = 4, 10, 20
"""Neighbors in the graph: one per 20 images. With 10 neighbors, ten images with a cue among a hundred would be joined
to others whatever they look like."""
MAX_IMAGES = 2000
"""Images per class that are clustered; more are sampled at random. The time is quadratic in their number."""
BORDER_ENERGY = 0.5
"""Fraction of the map in the outer tenth of the image, from which an image is explained by its border. The outer tenth
on all sides is 36 % of the image."""
SAME_MEMBERS = 0.5
"""Intersection over union of the members from which two hypotheses of a class are one."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A group of images whose explanations are alike.

    Attributes:
        kind: What is alike.
        grouping: The images that were clustered.
        class_index: Output of the model; None for all classes.
        members: Rows of the group.
        others: Rows that were clustered and are not members.
        medoid: Row of the most typical member.
        tightness: Mean distance to the medoid, relative to that of all clustered images to theirs.
        separation: How much nearer a member is to the other members than to the rest, from -1 to 1 (mean silhouette).
        n_clusters: Number of clusters in the partition; 0 for "border".
        eigengap: Gap of the spectrum at this number.
        channel: The channel that stands out, if the group was not found as a cluster.
        order: Position among the groups found in the same images by the same vectors, from 0 for the clearest.
    """

    kind: Kind
    grouping: Grouping
    class_index: int | None
    members: Indices
    others: Indices
    medoid: int
    tightness: float
    separation: float
    n_clusters: int = 0
    eigengap: float = 0.0
    channel: int | None = None
    order: int = 0

    @property
    def explained(self) -> ExplainedClass:
        """The class whose maps were compared."""
        return "true" if self.grouping == "label" else "predicted"

    @property
    def n_class(self) -> int:
        """Number of images that were clustered."""
        return len(self.members) + len(self.others)

    def overlap(self, other: Candidate) -> float:
        """Return the intersection over union of the members; 0 for other classes."""
        if self.class_index != other.class_index or (self.kind == "border") != (other.kind == "border"):
            return 0.0
        return len(np.intersect1d(self.members, other.members)) / len(np.union1d(self.members, other.members))


def find_candidates(arrays: AuditArrays, settings: Settings) -> list[Candidate]:
    """Return the clusters of every class with at least 20 images, and of all images if there is no such class."""
    found: list[Candidate] = []
    for grouping, class_index, rows in groups(arrays):
        explained: ExplainedClass = "true" if grouping == "label" else "predicted"
        if len(rows) > MAX_IMAGES:
            rows = np.sort(np.random.default_rng(settings.seed).choice(rows, MAX_IMAGES, replace=False))
        maps = arrays.maps(explained)[rows].astype(np.float64)
        found += clusters("fixed position", grouping, class_index, rows, maps.reshape(len(rows), -1), settings)
        if arrays.has_channels:
            channels = arrays.channels(explained)[rows].astype(np.float64)
            found += clusters("any position", grouping, class_index, rows, channels, settings)
            found += outliers(grouping, class_index, rows, channels, settings)
    return [*found, *_border(arrays, settings)]


def groups(arrays: AuditArrays) -> Iterator[tuple[Grouping, int | None, Indices]]:
    """Yield the groups of rows to cluster: per predicted class, per label, or all rows if every class is too small."""
    predicted, labels = arrays.column("predicted_index"), arrays.column("label_index")
    several = False
    columns: tuple[tuple[Grouping, Any], ...] = (("predicted", predicted), ("label", labels))
    for grouping, column in columns:
        for class_index in np.unique(column[~np.isnan(column)]).astype(int).tolist():
            rows = np.flatnonzero(column == class_index)
            if len(rows) < MIN_ITEMS:
                continue
            several = True
            if grouping == "label" and np.array_equal(rows, np.flatnonzero(predicted == class_index)):
                continue  # the same images and maps as those predicted
            yield grouping, class_index, rows
    if not several:
        yield "all", None, np.flatnonzero(~np.isnan(predicted))


def clusters(
    kind: Kind, grouping: Grouping, class_index: int | None, rows: Indices, vectors: Floats, settings: Settings
) -> list[Candidate]:
    """Return the clusters of explanations that are small enough to be a cue, the most separated ones first.

    Args:
        kind: What the vectors are: maps ("fixed position") or channel relevances ("any position").
        grouping: The images that are clustered.
        class_index: Output of the model.
        rows: Rows of the images `(n,)`.
        vectors: Explanations `(n, d)`.
        settings: The settings.
    """
    n_neighbors = int(np.clip(len(rows) // IMAGES_PER_NEIGHBOR, MIN_NEIGHBORS, MAX_NEIGHBORS))
    points, usable = hellinger_points(vectors)
    if len(usable) < MIN_ITEMS:
        return []
    distances = _distances(points)
    found: list[Candidate] = []
    for partition in spectral_partitions(vectors, settings.seed, n_neighbors, NUMBERS):
        labels = partition.labels[usable]
        for cluster in range(partition.n_clusters):
            inside = labels == cluster
            n = int(inside.sum())
            if not settings.min_members <= n <= settings.max_fraction * len(usable):
                continue
            found.append(
                Candidate(
                    kind,
                    grouping,
                    class_index,
                    rows[usable[inside]],
                    rows[usable[~inside]],
                    int(rows[partition.medoids[cluster]]),
                    float(partition.tightness[cluster]),
                    _separation(distances, inside),
                    partition.n_clusters,
                    partition.eigengap,
                )
            )
    found.sort(key=lambda candidate: -candidate.separation)
    return _placed(distinct(found)[: settings.max_per_class])


def outliers(
    grouping: Grouping, class_index: int | None, rows: Indices, vectors: Floats, settings: Settings
) -> list[Candidate]:
    """Return the groups of images in which one channel stands out, the clearest ones first.

    Args:
        grouping: The images that are split.
        class_index: Output of the model.
        rows: Rows of the images `(n,)`.
        vectors: Channel relevances `(n, c)`.
        settings: The settings.
    """
    points, usable = hellinger_points(vectors)
    if len(usable) < MIN_ITEMS:
        return []
    spread = np.linalg.norm(points - points.mean(0), axis=1).mean()
    found: list[Candidate] = []
    largest = int(settings.max_fraction * len(usable))
    for channel, inside, separation in outlier_groups(vectors[usable], settings.min_members, largest):
        deviations = np.linalg.norm(points[inside] - points[inside].mean(0), axis=1)
        found.append(
            Candidate(
                "any position",
                grouping,
                class_index,
                rows[usable[inside]],
                rows[usable[~inside]],
                int(rows[usable[np.flatnonzero(inside)[int(deviations.argmin())]]]),
                float(deviations.mean() / max(spread, 1e-12)),
                separation,
                channel=channel,
            )
        )
    return _placed(distinct(found)[: settings.max_per_class])


def distinct(candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates without those that repeat an earlier one: most members are the same."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if all(candidate.overlap(other) < SAME_MEMBERS for other in kept):
            kept.append(candidate)
    return kept


def _placed(candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates with their order."""
    return [replace(candidate, order=order) for order, candidate in enumerate(candidates)]


def _border(arrays: AuditArrays, settings: Settings) -> list[Candidate]:
    """Return the images of all classes whose map lies at the border, as one candidate."""
    energy = arrays.column("energy_at_border")
    members = np.flatnonzero(energy >= BORDER_ENERGY)
    others = np.flatnonzero(energy < BORDER_ENERGY)
    if len(members) < settings.min_members or len(others) < settings.min_members:
        return []
    medoid = int(members[np.argsort(energy[members])[len(members) // 2]])
    return [Candidate("border", "all", None, members, others, medoid, 1.0, 0.0)]


def _distances(points: Floats) -> Floats:
    """Return the distances `(n, n)` between all points."""
    squares = (points**2).sum(1)
    distances: Floats = np.sqrt(np.clip(squares[:, None] + squares - 2 * points @ points.T, 0, None))
    return distances


def _separation(distances: Floats, inside: NDArray[np.bool_]) -> float:
    """Return the mean silhouette (Rousseeuw, 1987) of a cluster, with all other points as the other cluster."""
    n = int(inside.sum())
    own = distances[np.ix_(inside, inside)].sum(1) / max(1, n - 1)
    rest = distances[np.ix_(inside, ~inside)].mean(1)
    return float(((rest - own) / np.maximum(rest, own).clip(1e-12)).mean())
