"""Comparison of two methods by a metric, and agreement of metrics about the order of methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from camlucida.evaluation.statistics import (
    SIGNIFICANCE_LEVEL,
    Floats,
    Interval,
    bootstrap_p,
    holm_correction,
    kendall,
    mcnemar_p,
    paired_differences,
    percentile_interval,
    wilcoxon_p,
)

Test = Literal["McNemar", "Wilcoxon", "bootstrap"]


@dataclass(frozen=True)
class Comparison:
    """Two methods compared by one metric, over the images that both were measured on.

    Attributes:
        metric: Name of the metric.
        first: The first method.
        second: The second method.
        difference: First minus second, with its paired 95 % interval.
        p: p-value of no difference by `test`.
        corrected: The p-value after Holm's correction for all comparisons made together.
        test: McNemar's exact test for values that are 0 or 1; Wilcoxon's signed-rank test for other per-image values;
            the bootstrap standard error for values pooled over the data set or averaged by class, and where an image
            has several values.
        wins: Fraction of the maps on which the first method is better.
        losses: Fraction of the maps on which the second method is better; the remaining ones are ties.
        n: Number of maps: one per image, or per target of an image.
        invalid: Number of maps that could not be scored, for each method; they count as the worst value.
        better: Whether high or low values are better, or neither.
        same_map: Whether the maps are known to be equal up to a positive factor. The remaining differences come from
            the order of upsampling and clipping, and do not make a winner.
    """

    metric: str
    first: str
    second: str
    difference: Interval
    p: float
    corrected: float
    test: Test
    wins: float
    losses: float
    n: int
    invalid: tuple[int, int]
    better: str
    same_map: bool = False

    @property
    def winner(self) -> str:
        """The better method by the corrected test and the interval; "" if the difference is not significant."""
        apart = self.difference.low > 0 or self.difference.high < 0
        if self.same_map or self.better == "neither" or not self.corrected <= SIGNIFICANCE_LEVEL or not apart:
            return ""
        return self.first if (self.difference.value > 0) == (self.better == "high") else self.second


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of metrics about the order of methods: Kendall's tau-b, 1 for equal and -1 for opposite orders.

    Metrics for which lower is better are negated first.

    Attributes:
        metrics: Names of the metrics; descriptive ones are left out.
        methods: Names of the methods.
        tau: `(k, k)` tau-b between the metrics' orders of the methods over all images.
        low: `(k, k)` lower end of the 95 % bootstrap interval.
        high: `(k, k)` upper end of the 95 % bootstrap interval.
        per_image: `(k, k)` tau-b of each image, or target of an image, averaged over those where it is defined.
    """

    metrics: tuple[str, ...]
    methods: tuple[str, ...]
    tau: Floats
    low: Floats
    high: Floats
    per_image: Floats


def compare_values(
    metric: str,
    names: tuple[str, str],
    better: str,
    values: tuple[Floats, Floats],
    invalid: tuple[int, int],
    difference: float,
    drawn: Floats,
    *,
    over_images: bool,
    same_map: bool,
    n_images: int,
) -> Comparison:
    """Compute one comparison, before correction for multiple comparisons.

    Args:
        metric: Name of the metric.
        names: Names of the two methods.
        better: Whether high or low values are better, or neither.
        values: `(n,)` values of both methods, on the images that both have.
        invalid: Number of images whose map could not be scored, for each method.
        difference: Difference of the data set values.
        drawn: `(draws,)` the difference in each bootstrap resample.
        over_images: Whether the difference is the mean of per-image differences.
        same_map: Whether both maps are known to be equal up to a positive factor.
        n_images: Number of images, which may have several values each.
    """
    first, second = values
    differences = paired_differences(first, second)
    test, p = _test(first, second, difference, drawn, over_images)
    gains = -differences if better == "low" else differences
    per_image_weight = 1 / max(len(first), 1)
    return Comparison(
        metric,
        *names,
        percentile_interval(difference, drawn, n_images),
        p,
        p,
        test,
        float((gains > 0).sum() * per_image_weight),
        float((gains < 0).sum() * per_image_weight),
        len(first),
        invalid,
        better,
        same_map,
    )


def _test(first: Floats, second: Floats, difference: float, drawn: Floats, over_images: bool) -> tuple[Test, float]:
    if not len(first):
        return "bootstrap", float("nan")
    if not over_images:
        return "bootstrap", bootstrap_p(difference, drawn)
    if np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all():
        return "McNemar", mcnemar_p(int((first > second).sum()), int((first < second).sum()))
    return "Wilcoxon", wilcoxon_p(paired_differences(first, second))


def holm_corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with p-values corrected for their number by Holm's method."""
    return [
        replace(c, corrected=p) for c, p in zip(comparisons, holm_correction([c.p for c in comparisons]), strict=True)
    ]


def metric_agreement(
    metrics: Sequence[str], methods: Sequence[str], numbers: Floats, drawn: Floats, maps: Floats, n_images: int
) -> Agreement:
    """Compute the agreement of metrics, all oriented so that higher is better.

    Args:
        metrics: Names of the metrics.
        methods: Names of the methods.
        numbers: `(metrics, methods)` data set values.
        drawn: `(draws, metrics, methods)` values in each bootstrap resample.
        maps: `(n, metrics, methods)` values per image, or per target of an image, NaN where not measured.
        n_images: Number of images.
    """
    tau, tau_drawn = kendall(numbers), kendall(drawn)
    low, high = np.full((2, *tau.shape), np.nan)
    of_maps = kendall(maps)
    mean = np.full_like(tau, np.nan)
    for pair in np.ndindex(*tau.shape):
        interval = percentile_interval(float(tau[pair]), tau_drawn[(slice(None), *pair)], n_images)
        low[pair], high[pair] = interval.low, interval.high
        known = of_maps[(slice(None), *pair)]
        known = known[~np.isnan(known)]
        mean[pair] = known.mean() if len(known) else np.nan
    return Agreement(tuple(metrics), tuple(methods), tau, low, high, mean)
