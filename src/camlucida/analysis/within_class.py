"""Differences between correct and wrong predictions within classes, which the mix of classes does not cause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.analysis.correct_vs_wrong import MIN_IMAGES
from camlucida.evaluation.clustered import Images, clustered_variance
from camlucida.evaluation.statistics import Floats, Interval


@dataclass(frozen=True)
class WithinClassDifference:
    """The difference of one statistic between the correct and the wrong predictions of the same class.

    Attributes:
        difference: The mean over classes of correct minus wrong, weighted by n_correct · n_wrong / n, which is the
            coefficient of `correct` in a regression with one constant per class; with its 95 % interval by the
            heteroscedasticity-consistent standard error (HC1). NaN without a class that has both.
        p: P-value of the permutation test within classes, by its exact mean and variance and the normal approximation;
            NaN for fewer than five images in either group.
        n_classes: Number of classes with correct and wrong predictions.
        n: Number of correct and of wrong predictions in these classes.
    """

    difference: Interval
    p: float
    n_classes: int
    n: tuple[int, int]


def within_class_difference(
    values: Floats, correct: NDArray[np.bool_], classes: NDArray[np.int64], images: Images | None = None
) -> WithinClassDifference:
    """Compare one statistic of correct and wrong predictions within classes.

    Args:
        values: `(n,)`, NaN where undefined.
        correct: Whether each prediction is correct `(n,)`.
        classes: Class of each image `(n,)`.
        images: The image of each prediction `(n,)`, where several share one. The standard error is then that of sums
            over images, and the p-value the larger one of the permutation test and of a test with this error.
    """
    known = ~np.isnan(values)
    y, x = values[known], correct[known].astype(np.float64)
    _, group = np.unique(classes[known], return_inverse=True)
    size = np.bincount(group)
    right = np.bincount(group, x, minlength=len(size))
    mixed = (right > 0) & (right < size)
    chosen = mixed[group]
    y, x, group = y[chosen], x[chosen], group[chosen]
    own_images = None if images is None else images[known][chosen]
    n = int(x.sum()), int(len(x) - x.sum())
    if not len(y):
        return WithinClassDifference(Interval(float("nan"), float("nan"), float("nan")), float("nan"), 0, (0, 0))
    y, x = (each - (np.bincount(group, each, minlength=len(size)) / size.clip(1))[group] for each in (y, x))
    coefficient = float(x @ y / (x @ x))
    stats = need("scipy.stats", extra="analysis", what="comparing correct and wrong predictions")
    free = len(y) - int(mixed.sum()) - 1
    if min(n) < MIN_IMAGES or free < 1:
        return WithinClassDifference(
            Interval(coefficient, float("nan"), float("nan")), float("nan"), int(mixed.sum()), n
        )
    error = y - coefficient * x
    deviation = float(np.sqrt((x**2 @ error**2) * len(y) / free)) / float(x @ x)
    if own_images is not None:
        clustered = float(clustered_variance((x * error)[:, None], own_images)[0]) ** 0.5 / float(x @ x)
        deviation = max(deviation, clustered) if clustered == clustered else float("nan")
    half = float(stats.norm.isf(0.025)) * deviation
    sums = (np.bincount(group, each**2, minlength=len(size)) for each in (x, y))
    variance = float((np.prod(list(sums), axis=0) / (size - 1).clip(1))[mixed].sum())
    p = float(2 * stats.norm.sf(abs(float(x @ y)) / variance**0.5)) if variance > 0 else 1.0
    if own_images is not None:
        robust = float(2 * stats.norm.sf(abs(coefficient) / deviation)) if deviation > 0 else float("nan")
        p = max(p, robust) if robust == robust else float("nan")
    return WithinClassDifference(Interval(coefficient, coefficient - half, coefficient + half), p, int(mixed.sum()), n)
