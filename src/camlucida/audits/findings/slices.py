"""Slices: groups of images in which the model is less often correct, or its maps differ, than elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from camlucida.analysis.confusion import wilson_interval
from camlucida.audits.audit_result import Audit
from camlucida.audits.findings.attributes import IMAGES_PER_CLUSTER, MAX_CATEGORIES, N_BINS, Attribute, attributes
from camlucida.audits.findings.slice_tests import (
    MIN_IMAGES,
    CountTable,
    SliceGroup,
    SliceStatistic,
    clustered_slices,
    compare_statistics,
)
from camlucida.audits.json_values import json_values, number
from camlucida.audits.rows import MAP_COLUMNS
from camlucida.evaluation.clustered import Images, effective_size
from camlucida.evaluation.statistics import SIGNIFICANCE_LEVEL, Floats, benjamini_hochberg
from camlucida.types import ProgressCallback

MAX_ROWS = 500
"""Largest number of rows listed per slice; `n` counts all of them."""
MAX_PAIRS_REPORTED = 200
"""Largest number of slices by two columns that are reported, those with the smallest p-values; all are tested."""
STATISTICS = (*(name for name in MAP_COLUMNS if name != "scale"), "confidence")
"""Columns that are compared between a slice and the other images."""


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
        clustered = self.settings.get("clustered_by") is not None
        noun = "targets" if clustered else "images"
        if not self.worse:
            return [f"None of {n_tests:,} slices is significantly less accurate than the other {noun}."]
        sentences = [
            f"On {found.n:,} {noun} with {found.name} the accuracy is {found.accuracy:.1%}, against "
            f"{found.rest_accuracy:.1%} on the others (corrected p = {found.p_corrected:.2g})."
            for found in self.worse[:5]
        ]
        if clustered:
            sentences.append(
                "Accuracy is the fraction of correct ones among correct, false and missed targets; intervals and tests "
                "take into account that targets share images."
            )
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
    result = slices_of(columns, correct, values, STATISTICS, images=audit.images(), progress=progress)
    return replace(result, settings={**result.settings, "seed": seed})


def slices_of(
    columns: Sequence[Attribute],
    correct: Floats,
    values: Floats,
    statistics: Sequence[str],
    *,
    images: Images | None = None,
    progress: ProgressCallback | None = None,
) -> Slices:
    """Find slices in arrays.

    Args:
        columns: Divisions of the n images.
        correct: 1 or 0 for each image `(n,)`; NaN without a label.
        values: The k statistics `(n, k)`; NaN where undefined.
        statistics: Their names.
        images: The image of each row `(n,)`, where several rows share one: a slice then needs `MIN_IMAGES` different
            images, and its p-values are the larger ones of the tests of rows and of tests of sums over images.
        progress: Called with the number of finished steps and their total.
    """
    known = ~np.isnan(correct)
    hits = np.where(known, correct, 0.0)
    counts = CountTable(hits, known)
    groups: list[SliceGroup] = []
    pairs = list(combinations(columns, 2))
    for step, pair in enumerate([*((column,) for column in columns), *pairs]):
        groups += counts.groups(pair)
        if progress:
            progress(step + 1, len(columns) + len(pairs))
    p = counts.p_values(groups)
    if images is not None:
        groups, p = clustered_slices(groups, p, hits, known, images)
    corrected = benjamini_hochberg(p)
    order = sorted(range(len(groups)), key=lambda i: _order(groups[i], float(p[i]), float(corrected[i])))
    reported, n_pairs = [], 0
    for i in order:
        n_pairs += len(groups[i].columns) == 2
        if len(groups[i].columns) == 1 or n_pairs <= MAX_PAIRS_REPORTED:
            reported.append(i)
    compared = compare_statistics([groups[i] for i in reported], values, statistics, images)
    found = tuple(
        _as_slice(groups[i], p[i], corrected[i], correct, statistic, images)
        for i, statistic in zip(reported, compared, strict=True)
    )
    settings = {
        "min_images": MIN_IMAGES,
        "n_bins": N_BINS,
        "max_categories": MAX_CATEGORIES,
        "images_per_cluster": IMAGES_PER_CLUSTER,
        "correction": "Benjamini-Hochberg",
        "clustered_by": None if images is None else "image",
        "n_tests": len(groups),
        "columns": {column.column: {"n_groups": len(column.names), **column.settings} for column in columns},
    }
    accuracy = float(hits.sum() / known.sum()) if known.any() else float("nan")
    return Slices(found, settings, int(known.sum()), accuracy)


def _order(group: SliceGroup, p: float, corrected: float) -> tuple[bool, bool, float, float]:
    """Return the key by which slices are sorted, the worst first."""
    worse = group.accuracy < group.rest_accuracy
    return (not (worse and corrected <= SIGNIFICANCE_LEVEL), not worse, p, group.accuracy)


def _as_slice(
    group: SliceGroup,
    p: float,
    corrected: float,
    correct: Floats,
    statistics: Mapping[str, SliceStatistic],
    images: Images | None,
) -> Slice:
    rows = np.flatnonzero(group.members() & ~np.isnan(correct))
    interval = wilson_interval(*group.inside)
    if images is not None:
        n = effective_size(correct[rows], images[rows])
        interval = wilson_interval(interval.value * n, n)
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
