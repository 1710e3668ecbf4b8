"""What two methods, or two metrics, have to say about each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from camlucida.evaluation.statistics import (
    LEVEL,
    Floats,
    Interval,
    by_spread,
    differences_of,
    holm,
    kendall,
    mcnemar,
    percentiles,
    signed_rank,
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
    same: bool = False

    @property
    def winner(self) -> str:
        """Which of the two is better by the corrected test and the interval; "" where it cannot be said."""
        apart = self.difference.low > 0 or self.difference.high < 0
        if self.same or self.better == "neither" or not self.corrected <= LEVEL or not apart:
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


def compared(
    metric: str,
    names: tuple[str, str],
    better: str,
    values: tuple[Floats, Floats],
    invalid: tuple[int, int],
    number: float,
    drawn: Floats,
    *,
    over_images: bool,
    same: bool,
) -> Comparison:
    """One comparison, before it is corrected for others.

    values         (n,) of the two, on the pictures that both have
    number, drawn  the difference, and what it was in each draw of the pictures
    over_pictures  whether the difference is the mean of those of the pictures
    """
    one, two = values
    differences = differences_of(one, two)
    test, p = _tested(one, two, number, drawn, over_images)
    gained = -differences if better == "low" else differences
    share = 1 / max(len(one), 1)
    return Comparison(
        metric,
        *names,
        percentiles(number, drawn),
        p,
        p,
        test,
        float((gained > 0).sum() * share),
        float((gained < 0).sum() * share),
        len(one),
        invalid,
        better,
        same,
    )


def _tested(one: Floats, two: Floats, number: float, drawn: Floats, over_images: bool) -> tuple[Test, float]:
    if not len(one):
        return "bootstrap", float("nan")
    if not over_images:
        return "bootstrap", by_spread(number, drawn)
    if np.isin(one, (0, 1)).all() and np.isin(two, (0, 1)).all():
        return "McNemar", mcnemar(int((one > two).sum()), int((one < two).sum()))
    return "Wilcoxon", signed_rank(differences_of(one, two))


def corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons, corrected for their number."""
    return [replace(c, corrected=p) for c, p in zip(found, holm([c.p for c in found]), strict=True)]


def agreed(
    metrics: Sequence[str], methods: Sequence[str], numbers: Floats, drawn: Floats, images: Floats
) -> Agreement:
    """Agreement of metrics, all turned so that more is better.

    numbers   (metrics, methods)
    drawn     (draws, metrics, methods)
    pictures  (n, metrics, methods) NaN where not measured
    """
    tau, each = kendall(numbers), kendall(drawn)
    low, high = np.full((2, *tau.shape), np.nan)
    of_images = kendall(images)
    mean = np.full_like(tau, np.nan)
    for place in np.ndindex(*tau.shape):
        found = percentiles(float(tau[place]), each[(slice(None), *place)])
        low[place], high[place] = found.low, found.high
        known = of_images[(slice(None), *place)]
        known = known[~np.isnan(known)]
        mean[place] = known.mean() if len(known) else np.nan
    return Agreement(tuple(metrics), tuple(methods), tau, low, high, mean)
