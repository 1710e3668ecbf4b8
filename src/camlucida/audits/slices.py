"""Slices: groups of images in which the model is less often correct, or its maps differ, than elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.analysis.confusion import wilson_interval
from camlucida.audits.attributes import IMAGES_PER_CLUSTER, MAX_CATEGORIES, N_BINS, Attribute, attributes
from camlucida.audits.audit_result import Audit
from camlucida.audits.json_values import json_values, number
from camlucida.audits.rows import MAP_COLUMNS
from camlucida.evaluation.statistics import SIGNIFICANCE_LEVEL, Floats, benjamini_hochberg
from camlucida.types import ProgressCallback

MIN_IMAGES = 20
"""Smallest number of images in a slice, and outside it, for a test."""
MAX_ROWS = 500
"""Largest number of rows listed per slice; `n` counts all of them."""
MAX_PAIRS_REPORTED = 200
"""Largest number of slices by two columns that are reported, those with the smallest p-values; all are tested."""
STATISTICS = (*(name for name in MAP_COLUMNS if name != "scale"), "confidence")
"""Columns that are compared between a slice and the other images."""


@dataclass(frozen=True)
class SliceStatistic:
    """The mean of one column over a slice and over the other images.

    Attributes:
        value: Mean over the slice; NaN without values.
        rest: Mean over the other images.
        n: Number of images of the slice with a value.
        p_corrected: P-value of the Mann-Whitney test (1947) after the correction of Benjamini and Hochberg over all
            reported slices and all statistics; NaN for fewer than `MIN_IMAGES` values on either side.
    """

    value: float
    rest: float
    n: int
    p_corrected: float

    @property
    def differs(self) -> bool:
        """Whether the corrected p-value is significant."""
        return self.p_corrected <= SIGNIFICANCE_LEVEL


@dataclass(frozen=True)
class Slice:
    """A group of images, with the accuracy of the model on it.

    Attributes:
        name: The condition as text, such as "brightness in (0.61, 0.92]".
        column: The column of the condition; of two conditions both, joined with " and ".
        conditions: The same to be read by programs.
        n: Number of labelled images.
        accuracy: Fraction of them that are predicted correctly; `low` and `high` are Wilson's 95 % interval.
        low: Lower end.
        high: Upper end.
        rest_accuracy: Accuracy on the other images with a value in the column.
        p: P-value of Fisher's exact test (two-sided: twice the smaller tail) that the accuracy is that of the others.
            For two conditions the largest of three p-values: against all others, and within each of the two groups, so
            that a slice by two columns differs only if one of the two is not enough.
        p_corrected: `p` after the correction of Benjamini and Hochberg over all slices.
        statistics: The statistics of the maps and the confidence.
        rows: Indices of the rows, wrong predictions first; at most `MAX_ROWS`.
    """

    name: str
    column: str
    conditions: tuple[Mapping[str, Any], ...]
    n: int
    accuracy: float
    low: float
    high: float
    rest_accuracy: float
    p: float
    p_corrected: float
    statistics: Mapping[str, SliceStatistic] = field(default_factory=dict)
    rows: tuple[int, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the corrected p-value of the accuracy is significant."""
        return self.p_corrected <= SIGNIFICANCE_LEVEL

    @property
    def is_worse(self) -> bool:
        """Whether the accuracy is significantly lower than elsewhere."""
        return self.differs and self.accuracy < self.rest_accuracy


@dataclass(frozen=True)
class Slices:
    """The slices of an audit, the worst first.

    Attributes:
        slices: Slices that are significantly worse, by their p-value; then those that are less accurate, then the
            others, likewise.
        settings: The attributes with their bins and clusters, the smallest size, the number of tests.
        n_labelled: Number of images with a label that is a class of the model.
        accuracy: Accuracy over all of them; NaN without any.
    """

    slices: tuple[Slice, ...]
    settings: Mapping[str, Any]
    n_labelled: int
    accuracy: float

    @property
    def worse(self) -> list[Slice]:
        """Return the slices with a significantly lower accuracy, worst first."""
        return [found for found in self.slices if found.is_worse]

    def sentences(self) -> list[str]:
        """Return the result in sentences."""
        if not self.n_labelled:
            return ["No image has a label that is a class of the model, so that no accuracy is known."]
        n_tests = self.settings["n_tests"]
        if not self.worse:
            return [f"None of {n_tests:,} slices is significantly less accurate than the other images."]
        sentences = [
            f"On {found.n:,} images with {found.name} the accuracy is {found.accuracy:.1%}, against "
            f"{found.rest_accuracy:.1%} on the others (corrected p = {found.p_corrected:.2g})."
            for found in self.worse[:5]
        ]
        return [*sentences, f"{len(self.worse):,} of {n_tests:,} slices are significantly less accurate."]

    def record(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        slices = [{**json_values(found), "differs": found.differs, "is_worse": found.is_worse} for found in self.slices]
        return {
            "schema_version": 1,
            "settings": json_values(self.settings),
            "sentences": self.sentences(),
            "n_labelled": self.n_labelled,
            "accuracy": json_values(self.accuracy),
            "slices": slices,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Slices:
        """Return the finding from its JSON values."""
        return cls(
            tuple(_slice_from(found) for found in record["slices"]),
            record["settings"],
            int(record["n_labelled"]),
            number(record["accuracy"]),
        )


def _slice_from(record: Mapping[str, Any]) -> Slice:
    statistics = {
        name: SliceStatistic(number(each["value"]), number(each["rest"]), int(each["n"]), number(each["p_corrected"]))
        for name, each in record["statistics"].items()
    }
    numbers = {key: number(record[key]) for key in ("accuracy", "low", "high", "rest_accuracy", "p", "p_corrected")}
    return Slice(
        name=record["name"],
        column=record["column"],
        conditions=tuple(record["conditions"]),
        n=int(record["n"]),
        statistics=statistics,
        rows=tuple(record["rows"]),
        **numbers,
    )


def find_slices(audit: Audit, *, seed: int = 0, progress: ProgressCallback | None = None) -> Slices:
    """Find the slices of an audit on which the model is less accurate, and how its maps differ there.

    Every group of at least `MIN_IMAGES` images by class, split, size and position of the object, size, aspect and
    brightness of the image, number of boxes, columns of the metadata and cluster of the features is tested, and so is
    every such group by two of them.

    Args:
        audit: A complete audit.
        seed: Seed of k-means.
        progress: Called with the number of finished steps and their total.
    """
    columns = attributes(audit, seed)
    correct = np.array([np.nan if value is None else float(value) for value in audit.column("correct")])
    values = np.stack([audit.column(name) for name in STATISTICS], axis=1)
    result = slices_of(columns, correct, values, STATISTICS, progress=progress)
    return replace(result, settings={**result.settings, "seed": seed})


def slices_of(
    columns: Sequence[Attribute],
    correct: Floats,
    values: Floats,
    statistics: Sequence[str],
    *,
    progress: ProgressCallback | None = None,
) -> Slices:
    """Find slices in arrays.

    Args:
        columns: Divisions of the n images.
        correct: 1 or 0 for each image `(n,)`; NaN without a label.
        values: The k statistics `(n, k)`; NaN where undefined.
        statistics: Their names.
        progress: Called with the number of finished steps and their total.
    """
    known = ~np.isnan(correct)
    hits = np.where(known, correct, 0.0)
    counts = _CountTable(hits, known)
    groups: list[_Group] = []
    pairs = list(combinations(columns, 2))
    for step, pair in enumerate([*((column,) for column in columns), *pairs]):
        groups += counts.groups(pair)
        if progress:
            progress(step + 1, len(columns) + len(pairs))
    p = counts.p_values(groups)
    corrected = benjamini_hochberg(p)
    order = sorted(range(len(groups)), key=lambda i: _order(groups[i], float(p[i]), float(corrected[i])))
    reported, n_pairs = [], 0
    for i in order:
        n_pairs += len(groups[i].columns) == 2
        if len(groups[i].columns) == 1 or n_pairs <= MAX_PAIRS_REPORTED:
            reported.append(i)
    compared = _compare([groups[i] for i in reported], values, statistics)
    found = tuple(
        _as_slice(groups[i], p[i], corrected[i], correct, statistic)
        for i, statistic in zip(reported, compared, strict=True)
    )
    settings = {
        "min_images": MIN_IMAGES,
        "n_bins": N_BINS,
        "max_categories": MAX_CATEGORIES,
        "images_per_cluster": IMAGES_PER_CLUSTER,
        "correction": "Benjamini-Hochberg",
        "n_tests": len(groups),
        "columns": {column.column: {"n_groups": len(column.names), **column.settings} for column in columns},
    }
    accuracy = float(hits.sum() / known.sum()) if known.any() else float("nan")
    return Slices(found, settings, int(known.sum()), accuracy)


@dataclass(frozen=True, eq=False)
class _Group:
    """A group by one or two columns, with its counts: [correct, all] of the group and of those it is compared with."""

    columns: tuple[Attribute, ...]
    numbers: tuple[int, ...]
    inside: tuple[int, int]
    references: tuple[tuple[int, int], ...]
    """Counts of the groups within which it is tested: of all images with a value, and of each of two conditions."""

    def members(self) -> NDArray[np.bool_]:
        """Return which images are in the group."""
        chosen = [column.groups == group for column, group in zip(self.columns, self.numbers, strict=True)]
        members: NDArray[np.bool_] = np.logical_and.reduce(chosen)
        return members

    def flat_groups(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the number of the group of each image by the same columns, and which images have one."""
        usable = np.logical_and.reduce([column.groups >= 0 for column in self.columns])
        flat = np.ravel_multi_index(tuple(np.maximum(column.groups, 0) for column in self.columns), self._shape)
        return flat.astype(np.int64), usable

    def flat_number(self) -> int:
        """Return its number among the groups by the same columns."""
        return int(np.ravel_multi_index(self.numbers, self._shape))

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(len(column.names) for column in self.columns)

    @property
    def accuracy(self) -> float:
        return self.inside[0] / self.inside[1]

    @property
    def rest_accuracy(self) -> float:
        hits, n = self.references[0]
        return (hits - self.inside[0]) / (n - self.inside[1])


@dataclass(frozen=True, eq=False)
class _CountTable:
    """Counts of correct and of all labelled images per group."""

    hits: Floats
    known: NDArray[np.bool_]

    def groups(self, columns: tuple[Attribute, ...]) -> list[_Group]:
        """Return the groups by one or two columns that are large enough."""
        usable = self.known & np.logical_and.reduce([column.groups >= 0 for column in columns])
        shape = tuple(len(column.names) for column in columns)
        flat = np.ravel_multi_index(tuple(column.groups[usable] for column in columns), shape)
        n = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
        hits = np.bincount(flat, self.hits[usable], minlength=int(np.prod(shape))).reshape(shape)
        total = int(hits.sum()), int(n.sum())
        found = []
        for index in zip(*np.nonzero((n >= MIN_IMAGES) & (total[1] - n >= MIN_IMAGES)), strict=True):
            inside = int(hits[index]), int(n[index])
            references = [total]
            if len(columns) == 2:
                a, b = index
                references += [(int(hits[a].sum()), int(n[a].sum())), (int(hits[:, b].sum()), int(n[:, b].sum()))]
                if any(size - inside[1] < MIN_IMAGES for _, size in references):
                    continue  # one condition follows from the other, or nearly
            found.append(_Group(columns, tuple(int(i) for i in index), inside, tuple(references)))
        return found

    @staticmethod
    def p_values(groups: Sequence[_Group]) -> Floats:
        """Return the p-value of each group, the largest of those within its references."""
        if not groups:
            return np.zeros(0)
        stats = need("scipy.stats", extra="analysis", what="slices of an audit")
        where = np.array([i for i, group in enumerate(groups) for _ in group.references])
        hits, n = np.array([group.inside for group in groups for _ in group.references]).T
        all_hits, all_n = np.array([reference for group in groups for reference in group.references]).T
        lower = stats.hypergeom.cdf(hits, all_n, all_hits, n)
        upper = stats.hypergeom.sf(hits - 1, all_n, all_hits, n)
        p = np.zeros(len(groups))
        np.maximum.at(p, where, np.clip(2 * np.minimum(lower, upper), 0.0, 1.0))
        return p


def _compare(groups: Sequence[_Group], values: Floats, names: Sequence[str]) -> list[dict[str, SliceStatistic]]:
    """Return the statistics of each group, corrected over all groups and statistics.

    Groups by the same columns are compared with the same images, whose ranks are computed once.
    """
    shape = (len(groups), len(names))
    mean, rest, p = np.full((3, *shape), np.nan)
    n = np.zeros(shape, dtype=np.int64)
    by_columns: dict[tuple[str, ...], list[int]] = {}
    for i, group in enumerate(groups):
        by_columns.setdefault(tuple(column.column for column in group.columns), []).append(i)
    for same in by_columns.values():
        flat, usable = groups[same[0]].flat_groups()
        chosen = np.array([groups[i].flat_number() for i in same])
        for k in range(len(names)):
            present = usable & ~np.isnan(values[:, k])
            tests = _rank_tests(flat[present], values[present, k], chosen)
            mean[same, k], rest[same, k], n[same, k], p[same, k] = tests
    corrected = np.asarray(benjamini_hochberg(p.ravel())).reshape(shape)
    return [
        {
            name: SliceStatistic(float(mean[i, k]), float(rest[i, k]), int(n[i, k]), float(corrected[i, k]))
            for k, name in enumerate(names)
            if n[i, k]
        }
        for i in range(len(groups))
    ]


def _rank_tests(
    groups: NDArray[np.int64], values: Floats, chosen: NDArray[np.int64]
) -> tuple[Floats, Floats, NDArray[np.int64], Floats]:
    """Compare the values of each chosen group with those of all other groups.

    The p-value is that of the Mann-Whitney test, two-sided, by the normal approximation with the correction of ties and
    of continuity.

    Args:
        groups: Group of each value `(m,)`.
        values: `(m,)`, without NaN.
        chosen: Numbers of the groups `(g,)`.

    Returns:
        For each chosen group the mean, that of the others, the number of values, and the p-value; NaN for too few.
    """
    stats = need("scipy.stats", extra="analysis", what="slices of an audit")
    size, last = len(values), int(max(groups.max(initial=0), chosen.max(initial=0))) + 1
    n = np.bincount(groups, minlength=last)[chosen]
    total = np.bincount(groups, values, minlength=last)[chosen]
    ranks = stats.rankdata(values)
    rank_sum = np.bincount(groups, ranks, minlength=last)[chosen]
    _, ties = np.unique(values, return_counts=True)
    others = size - n
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, rest = total / n, (values.sum() - total) / others
        u = rank_sum - n * (n + 1) / 2
        tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / (size * (size - 1)) if size > 1 else 0.0
        deviation = np.sqrt(n * others / 12 * (size + 1 - tied))
        z = np.maximum(np.abs(u - n * others / 2) - 0.5, 0.0) / deviation
    p = np.where(deviation > 0, np.clip(2 * stats.norm.sf(z), 0.0, 1.0), 1.0)
    return mean, rest, n, np.where(np.minimum(n, others) >= MIN_IMAGES, p, np.nan)


def _order(group: _Group, p: float, corrected: float) -> tuple[bool, bool, float, float]:
    """Return the key by which slices are sorted, the worst first."""
    worse = group.accuracy < group.rest_accuracy
    return (not (worse and corrected <= SIGNIFICANCE_LEVEL), not worse, p, group.accuracy)


def _as_slice(
    group: _Group,
    p: float,
    corrected: float,
    correct: Floats,
    statistics: Mapping[str, SliceStatistic],
) -> Slice:
    interval = wilson_interval(*group.inside)
    rows = np.flatnonzero(group.members() & ~np.isnan(correct))
    rows = rows[np.argsort(correct[rows], kind="stable")][:MAX_ROWS]
    chosen = list(zip(group.columns, group.numbers, strict=True))
    return Slice(
        name=" and ".join(column.names[i] for column, i in chosen),
        column=" and ".join(column.column for column, _ in chosen),
        conditions=tuple(column.conditions[i] for column, i in chosen),
        n=group.inside[1],
        accuracy=interval.value,
        low=interval.low,
        high=interval.high,
        rest_accuracy=group.rest_accuracy,
        p=float(p),
        p_corrected=float(corrected),
        statistics=statistics,
        rows=tuple(int(row) for row in rows),
    )
