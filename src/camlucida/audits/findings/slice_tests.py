"""The tests of slices: counts of correct predictions per group, and comparisons of columns by ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.audits.findings.attributes import Attribute
from camlucida.evaluation.clustered import Images, clustered_difference_p
from camlucida.evaluation.statistics import SIGNIFICANCE_LEVEL, Floats, benjamini_hochberg

MIN_IMAGES = 20
"""Smallest number of images in a slice, and outside it, for a test."""


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


@dataclass(frozen=True, eq=False)
class SliceGroup:
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
class CountTable:
    """Counts of correct and of all labelled images per group."""

    hits: Floats
    known: NDArray[np.bool_]

    def groups(self, columns: tuple[Attribute, ...]) -> list[SliceGroup]:
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
            found.append(SliceGroup(columns, tuple(int(i) for i in index), inside, tuple(references)))
        return found

    @staticmethod
    def p_values(groups: Sequence[SliceGroup]) -> Floats:
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


def clustered_slices(
    groups: Sequence[SliceGroup], p: Floats, hits: Floats, known: NDArray[np.bool_], images: Images
) -> tuple[list[SliceGroup], Floats]:
    """Return the groups with enough different images, and the larger p-value of two tests.

    Args:
        groups: The groups.
        p: P-value of each by the test of independent rows.
        hits: 1 or 0 for each row `(n,)`.
        known: Which rows have a label `(n,)`.
        images: The image of each row `(n,)`.
    """
    kept, values = [], []
    for group, p_rows in zip(groups, p.tolist(), strict=True):
        members = group.members()
        if len(np.unique(images[members & known])) < MIN_IMAGES:
            continue
        usable = known & np.logical_and.reduce([column.groups >= 0 for column in group.columns])
        within = [usable]
        if len(group.columns) == 2:
            within += [usable & (c.groups == i) for c, i in zip(group.columns, group.numbers, strict=True)]
        robust = [clustered_difference_p(hits[rows], members[rows], images[rows]) for rows in within]
        kept.append(group)
        values.append(max([p_rows, *(each for each in robust if each == each)]))
    return kept, np.array(values, dtype=np.float64)


def compare_statistics(
    groups: Sequence[SliceGroup], values: Floats, names: Sequence[str], images: Images | None = None
) -> list[dict[str, SliceStatistic]]:
    """Return the statistics of each group, corrected over all groups and statistics.

    Groups by the same columns are compared with the same images, whose ranks are computed once.

    Args:
        groups: The groups.
        values: The k statistics `(n, k)`; NaN where undefined.
        names: Their names.
        images: The image of each row `(n,)`, where several rows share one.
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
            if images is not None:
                robust = _clustered_rank_tests(flat[present], values[present, k], chosen, images[present])
                p[same, k] = np.where(np.isnan(robust), np.nan, np.maximum(p[same, k], robust))
    corrected = np.asarray(benjamini_hochberg(p.ravel())).reshape(shape)
    return [
        {
            name: SliceStatistic(float(mean[i, k]), float(rest[i, k]), int(n[i, k]), float(corrected[i, k]))
            for k, name in enumerate(names)
            if n[i, k]
        }
        for i in range(len(groups))
    ]


def _clustered_rank_tests(
    groups: NDArray[np.int64], values: Floats, chosen: NDArray[np.int64], images: Images
) -> Floats:
    """Return the p-value of the difference of the mean ranks of each chosen group, by the variance over images."""
    if not len(values):
        return np.full(len(chosen), np.nan)
    ranks = need("scipy.stats", extra="analysis", what="slices of an audit").rankdata(values)
    return np.array([clustered_difference_p(ranks, groups == number, images) for number in chosen])


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
