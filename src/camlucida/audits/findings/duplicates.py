"""Near duplicates among the images of an audit: the same image in two splits, or with two labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.audits.audit_result import Audit
from camlucida.audits.findings.feature_neighbors import neighbors, unit_features
from camlucida.audits.json_values import json_values, number
from camlucida.data.datasets import Dataset
from camlucida.data.duplicates import MIN_CORRELATION, exact_duplicates, near_duplicates
from camlucida.data.inspect_image import ImageInfo, inspect_image
from camlucida.errors import CamlucidaError, DataError
from camlucida.types import ProgressCallback

MAX_READ_ALL = 2000
"""Data sets of at most this many images are read whole; of larger ones only candidates, by their features."""
N_CANDIDATES = 5
"""Nearest neighbors in feature space that are candidates."""
MIN_SIMILARITY = 0.9
"""Smallest cosine similarity of the standardised features of candidates."""
READERS = 2
MAX_LISTED = 1000


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that look the same.

    Attributes:
        rows: Indices of the rows.
        images: Names of the images.
        identical: Whether their files are identical byte for byte; if not, they were scaled, recompressed or lightened.
        splits: The different splits, sorted.
        labels: The different labels, sorted.
    """

    rows: tuple[int, ...]
    images: tuple[str, ...]
    identical: bool
    splits: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def crosses_splits(self) -> bool:
        """Whether the images are in different splits."""
        return len(self.splits) > 1

    @property
    def labels_differ(self) -> bool:
        """Whether the images have different labels."""
        return len(self.labels) > 1


@dataclass(frozen=True)
class Duplicates:
    """Groups of near duplicates.

    Attributes:
        groups: Those across splits or with different labels first; at most `MAX_LISTED`.
        n_groups: Number of all groups.
        n_read: Number of images that were read to find them.
        leaked: For images outside the split "train" that have a duplicate in it: their number and their accuracy, and
            the accuracy of the other images outside "train"; empty without any.
        settings: What determines the result beside the data.
    """

    groups: tuple[DuplicateGroup, ...]
    n_groups: int
    n_read: int
    leaked: Mapping[str, float]
    settings: Mapping[str, Any]

    def sentences(self) -> list[str]:
        """Return the result in sentences."""
        if not self.groups:
            return ["There are no near duplicates."]
        crossing = sum(group.crosses_splits for group in self.groups)
        differing = sum(group.labels_differ for group in self.groups)
        sentences = [
            f"There are {self.n_groups:,} groups of near duplicates: {crossing:,} across splits, {differing:,} with "
            "different labels."
        ]
        if self.leaked:
            sentences.append(
                f"{self.leaked['n']:,.0f} images outside the split train have a duplicate in it: accuracy "
                f"{self.leaked['accuracy']:.1%} on them, {self.leaked['rest_accuracy']:.1%} on the others."
            )
        return sentences

    def record(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        groups = [
            {**json_values(group), "crosses_splits": group.crosses_splits, "labels_differ": group.labels_differ}
            for group in self.groups
        ]
        return {"schema_version": 1, "sentences": self.sentences(), **json_values(self), "groups": groups}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Duplicates:
        """Return the finding from its JSON values."""
        groups = tuple(
            DuplicateGroup(
                rows=tuple(each["rows"]),
                images=tuple(each["images"]),
                identical=bool(each["identical"]),
                splits=tuple(each["splits"]),
                labels=tuple(each["labels"]),
            )
            for each in record["groups"]
        )
        leaked = {name: number(value) for name, value in record["leaked"].items()}
        return cls(groups, int(record["n_groups"]), int(record["n_read"]), leaked, record["settings"])


def find_duplicates(audit: Audit, *, seed: int = 0, progress: ProgressCallback | None = None) -> Duplicates:
    """Find near duplicates among the images of an audit.

    Images are compared by their difference hash and the correlation of thumbnails. In a data set of more than
    `MAX_READ_ALL` images, only those are read that are among the nearest neighbors of another image in feature space.

    Args:
        audit: A complete audit with its data; the model is not needed.
        seed: Seed of the sample of neighbors in large data sets.
        progress: Called with the number of images that were read and their total.

    Raises:
        DataError: If the audit was opened without its data, or they have changed.
    """
    if audit.data is None:
        raise DataError(f"finding duplicates needs the images of {audit.path}, which are not available.")
    if difference := Audit(audit.path, None, audit.data).mismatch():
        raise DataError(f"{audit.path} is an audit of other data: {difference}.")
    rows, source = _candidates(audit, seed)
    infos = _inspect(audit.data, audit.column("index")[rows].astype(np.int64), progress)
    groups = [[int(rows[i]) for i in group] for group in _merged(infos)]
    identical = {tuple(sorted(int(rows[i]) for i in group)) for group in exact_duplicates(infos)}
    found = sorted(
        (_group(audit, sorted(group), tuple(sorted(group)) in identical) for group in groups),
        key=lambda group: (not (group.crosses_splits or group.labels_differ), -len(group.rows), group.rows),
    )
    settings = {
        "seed": seed,
        "candidates": source,
        "min_correlation": MIN_CORRELATION,
        "max_read_all": MAX_READ_ALL,
        "n_candidates": N_CANDIDATES,
        "min_similarity": MIN_SIMILARITY,
    }
    return Duplicates(tuple(found[:MAX_LISTED]), len(found), len(rows), _leaked(audit, found), settings)


def _candidates(audit: Audit, seed: int) -> tuple[NDArray[np.int64], str]:
    """Return the rows of the images to read, and how they were chosen: "all" or "features"."""
    readable = np.array([value is None for value in audit.column("error")])
    if audit.has_targets:  # one row of each image stands for it
        stands = np.zeros(len(readable), dtype=np.bool_)
        stands[np.unique(audit.column("index"), return_index=True)[1]] = True
        return np.flatnonzero(readable & stands), "all"
    everything = np.flatnonzero(readable)
    features, rows = unit_features(audit)
    if len(everything) <= MAX_READ_ALL or not len(rows):
        return everything, "all"
    indices, similarities = neighbors(features, N_CANDIDATES, seed)
    first, position = np.nonzero(similarities >= MIN_SIMILARITY)
    return np.unique(np.concatenate([rows[first], rows[indices[first, position]]])), "features"


def _inspect(data: Dataset, indices: NDArray[np.int64], progress: ProgressCallback | None) -> list[ImageInfo]:
    """Return the hashes and thumbnails of images; those that cannot be read any more have none."""

    def inspect(index: int) -> ImageInfo:
        try:
            return inspect_image(data[index].image)
        except CamlucidaError as error:
            return ImageInfo(error=str(error))

    infos = []
    with ThreadPoolExecutor(READERS, thread_name_prefix="camlucida-read") as readers:
        for info in readers.map(inspect, indices.tolist()):
            infos.append(info)
            if progress:
                progress(len(infos), len(indices))
    return infos


def _merged(infos: Sequence[ImageInfo]) -> list[list[int]]:
    """Return groups of near and exact duplicates; an image is in one group at most."""
    exact = exact_duplicates(infos)
    same = {group[0]: group for group in exact}
    groups = [[i for member in group for i in same.pop(member, [member])] for group in near_duplicates(infos)]
    return [*groups, *same.values()]


def _group(audit: Audit, rows: list[int], identical: bool) -> DuplicateGroup:
    splits, labels, images = (audit.column(name)[rows] for name in ("split", "label", "image"))
    if audit.has_targets:  # the label of a row is that of one box
        labels = labels[:0]
    return DuplicateGroup(
        tuple(rows), tuple(str(image) for image in images), identical, _different(splits), _different(labels)
    )


def _different(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted(Counter(str(value) for value in values if value not in (None, ""))))


def _leaked(audit: Audit, groups: Sequence[DuplicateGroup]) -> dict[str, float]:
    """Return the accuracy on images outside "train" with and without a duplicate in it; empty without any."""
    if audit.has_targets:
        return {}
    splits, correct = audit.column("split"), audit.column("correct")
    outside = np.array([s not in ("train", "", None) and c is not None for s, c in zip(splits, correct, strict=True)])
    has_duplicate = np.zeros(len(splits), dtype=np.bool_)
    for group in groups:
        if "train" in group.splits:
            has_duplicate[list(group.rows)] = True
    hits = np.array([bool(value) for value in correct])
    leaked, rest = outside & has_duplicate, outside & ~has_duplicate
    if not leaked.any() or not rest.any():
        return {}
    return {"n": float(leaked.sum()), "accuracy": float(hits[leaked].mean()), "rest_accuracy": float(hits[rest].mean())}
