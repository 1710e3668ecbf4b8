"""What two methods, or two metrics, have to say about each other."""

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
    """Two methods by one metric, over the pictures that both were measured on.

    difference   first less second, with its paired 95 % interval
    p            of no difference, by `test`: McNemar's exact for values that are 0 or 1, Wilcoxon's signed-rank for
                 others, by the bootstrap's standard error for numbers pooled from all pictures or averaged by class
    corrected    the same after Holm's correction for all comparisons made with it
    wins, losses shares of the pictures on which the first is better, and worse; the rest are ties
    n            pictures
    invalid      how many of them could not be judged for the first, and for the second: counted as worst
    same         their maps are known to be one map up to a positive factor. What still differs comes from the order of
                 enlarging it and cutting off what is below zero, and makes no winner
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
        """Which of the two is better by the corrected test and the interval; "" where it cannot be said."""
        apart = self.difference.low > 0 or self.difference.high < 0
        if self.same_map or self.better == "neither" or not self.corrected <= SIGNIFICANCE_LEVEL or not apart:
            return ""
        return self.first if (self.difference.value > 0) == (self.better == "high") else self.second


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far metrics put the methods in the same order: Kendall's tau-b, 1 for the same, -1 for the opposite order.

    Metrics of which less is better are turned round first.

    metrics      which; those that only describe are left out
    methods      which were put in order
    tau          (k, k) between the orders of the methods' numbers over all pictures
    low, high    (k, k) the 95 % interval: bootstrap over pictures
    per_picture  (k, k) tau of every picture, averaged over the pictures that give one
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
) -> Comparison:
    """One comparison, before it is corrected for others.

    values         (n,) of the two, on the pictures that both have
    number, drawn  the difference, and what it was in each draw of the pictures
    over_pictures  whether the difference is the mean of those of the pictures
    """
    first, second = values
    differences = paired_differences(first, second)
    test, p = _test(first, second, difference, drawn, over_images)
    gains = -differences if better == "low" else differences
    per_image_weight = 1 / max(len(first), 1)
    return Comparison(
        metric,
        *names,
        percentile_interval(difference, drawn),
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
    """The same comparisons, corrected for their number."""
    return [
        replace(c, corrected=p) for c, p in zip(comparisons, holm_correction([c.p for c in comparisons]), strict=True)
    ]


def metric_agreement(
    metrics: Sequence[str], methods: Sequence[str], numbers: Floats, drawn: Floats, images: Floats
) -> Agreement:
    """Agreement of metrics, all turned so that more is better.

    numbers   (metrics, methods)
    drawn     (draws, metrics, methods)
    pictures  (n, metrics, methods) NaN where not measured
    """
    tau, tau_drawn = kendall(numbers), kendall(drawn)
    low, high = np.full((2, *tau.shape), np.nan)
    of_images = kendall(images)
    mean = np.full_like(tau, np.nan)
    for pair in np.ndindex(*tau.shape):
        interval = percentile_interval(float(tau[pair]), tau_drawn[(slice(None), *pair)])
        low[pair], high[pair] = interval.low, interval.high
        known = of_images[(slice(None), *pair)]
        known = known[~np.isnan(known)]
        mean[pair] = known.mean() if len(known) else np.nan
    return Agreement(tuple(metrics), tuple(methods), tau, low, high, mean)
