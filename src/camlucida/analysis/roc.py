"""ROC curves of scores that should tell two groups apart, and their areas with DeLong's intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.evaluation.clustered import Images
from camlucida.evaluation.statistics import CONFIDENCE_LEVEL, MIN_INTERVAL_SIZE, Floats, Interval

MAX_POINTS = 101
"""Largest number of points of a curve that is stored or drawn."""


@dataclass(frozen=True, eq=False)
class RocAreas:
    """Areas under the ROC curves of k scores of the same items.

    Attributes:
        areas: `(k,)`; 0.5 for a score that does not depend on the group. NaN if a group is empty.
        covariance: Their covariance matrix `(k, k)` (DeLong et al., Biometrics 1988); NaN if a group has one item.
        n: Number of items of the smaller group.
    """

    areas: Floats
    covariance: Floats
    n: int

    def interval(self, i: int, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the area of score i with its interval, by the normal approximation, inside [0, 1]."""
        area, variance = float(self.areas[i]), float(self.covariance[i, i])
        if self.n < MIN_INTERVAL_SIZE or not np.isfinite(variance):
            return Interval(area, float("nan"), float("nan"))
        z = float(need("scipy.stats", extra="analysis", what="an interval").norm.isf((1 - level) / 2))
        half = z * max(variance, 0.0) ** 0.5
        return Interval(area, max(0.0, area - half), min(1.0, area + half))

    def difference_p(self, i: int, j: int) -> float:
        """Return the p-value of the hypothesis that the areas of scores i and j are the same."""
        variance = float(self.covariance[i, i] + self.covariance[j, j] - 2 * self.covariance[i, j])
        difference = float(self.areas[i] - self.areas[j])
        if not np.isfinite(variance):
            return float("nan")
        if variance <= 1e-16:
            return float(abs(difference) < 1e-12)
        return float(2 * need("scipy.stats", extra="analysis", what="a test").norm.sf(abs(difference) / variance**0.5))


def roc_areas(scores: Floats, positive: NDArray[np.bool_], images: Images | None = None) -> RocAreas:
    """Compute areas under ROC curves and their covariance by DeLong's method; ties count half.

    Args:
        scores: `(k, n)`, without NaN; larger for items that should be positive.
        positive: The group of each item `(n,)`.
        images: The image of each item `(n,)`, where several share one: the covariance is then that of sums over images
            (Obuchowski, Biometrics 1997).
    """
    stats = need("scipy.stats", extra="analysis", what="a ROC curve")
    first, second = scores[:, positive], scores[:, ~positive]
    m, n = first.shape[1], second.shape[1]
    if not min(m, n):
        nan = np.full(len(scores), np.nan)
        return RocAreas(nan, np.full((len(scores), len(scores)), np.nan), 0)
    ranks = stats.rankdata(np.hstack([first, second]), axis=1)
    above = (ranks[:, :m] - stats.rankdata(first, axis=1)) / n  # fraction of the negative items below each positive one
    below = 1 - (ranks[:, m:] - stats.rankdata(second, axis=1)) / m
    if images is not None:
        influences = np.zeros(scores.shape)
        influences[:, positive] = (above - above.mean(1, keepdims=True)) / m
        influences[:, ~positive] = (below - below.mean(1, keepdims=True)) / n
        products = _image_sums(influences, images)
        n_images = products.shape[1]
        covariance = (
            products @ products.T * n_images / (n_images - 1) if n_images > 1 else np.full((len(scores),) * 2, np.nan)
        )
    elif min(m, n) > 1:
        covariance = np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n
    else:
        covariance = np.full((len(scores), len(scores)), np.nan)
    return RocAreas(above.mean(1), covariance, min(m, n))


def _image_sums(values: Floats, images: Images) -> Floats:
    """Return the sums `(k, images)` of values `(k, n)` over the items of each image."""
    _, number = np.unique(images, return_inverse=True)
    return np.stack([np.bincount(number, row) for row in values])


def roc_curve(scores: Floats, positive: NDArray[np.bool_], max_points: int = MAX_POINTS) -> Floats:
    """Return the points `(p, 2)` of a ROC curve: false and true positive rates, from (0, 0) to (1, 1).

    Args:
        scores: `(n,)`, without NaN.
        positive: The group of each item `(n,)`; neither group is empty.
        max_points: Largest number of points; of more, those at evenly spaced positions along the curve.
    """
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(positive[order])[last_of_ties]
    false_alarms = np.cumsum(~positive[order])[last_of_ties]
    points = np.column_stack([false_alarms / max((~positive).sum(), 1), hits / max(positive.sum(), 1)])
    points = np.vstack([[0.0, 0.0], points])
    if len(points) <= max_points:
        return points
    length = points.sum(1)  # both rates increase, so that this is the length along the axes
    chosen = np.searchsorted(length, np.linspace(0, 2, max_points)).clip(max=len(points) - 1)
    thinned: Floats = points[np.unique(chosen)]
    return thinned
