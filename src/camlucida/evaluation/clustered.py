"""Statistics of rows that share images: the boxes of one image are not independent of each other, the images are.

Intervals resample images with all their rows. Tests use the variance of sums over images (Liang & Zeger, Biometrika
1986): if a difference is a sum over rows of influences u, its variance is estimated by the sum over images of the
squared sum of the u of their rows, which holds whatever the dependence inside an image is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.evaluation.statistics import N_BOOTSTRAP, Floats, resamples

Images = NDArray[np.int64]
"""Number of the image of each row `(n,)`, from 0."""


def row_resamples(n: int, images: Images | None, draws: int = N_BOOTSTRAP, seed: int = 0) -> Iterator[Floats]:
    """Yield bootstrap counts of n rows, `(some, n)` at a time: resampled are the images, each with all its rows.

    Args:
        n: Number of rows.
        images: The image of each row; None where each row is an image of its own.
        draws: Number of resamples.
        seed: Seed of the random numbers.
    """
    if images is None:
        yield from resamples(n, draws, seed)
        return
    _, number = np.unique(images, return_inverse=True)
    for counts in resamples(int(number.max(initial=0)) + 1, draws, seed):
        yield counts[:, number]


def clustered_variance(influences: Floats, images: Images) -> Floats:
    """Return the variance of sums of influences over rows.

    Args:
        influences: `(n, ...)`, whose sum over the rows is a deviation from its expectation.
        images: The image of each row `(n,)`.

    Returns:
        The variance, of the shape of a row, with the correction G / (G - 1) for G images; NaN for one image.
    """
    _, number = np.unique(images, return_inverse=True)
    n_images = int(number.max(initial=-1)) + 1
    if n_images < 2:
        return np.full(influences.shape[1:], np.nan)
    sums = np.zeros((n_images, *influences.shape[1:]))
    np.add.at(sums, number, influences)
    variance: Floats = (sums**2).sum(0) * n_images / (n_images - 1)
    return variance


def clustered_difference_p(values: Floats, inside: NDArray[np.bool_], images: Images) -> float:
    """Return the two-sided p-value of the hypothesis that a mean is the same inside and outside a group of rows.

    A score test: under the hypothesis both have the common mean. Its statistic is compared with Student's t
    distribution with one degree of freedom less than there are images.

    Args:
        values: `(n,)`, without NaN.
        inside: Which rows are in the group `(n,)`.
        images: The image of each row `(n,)`.
    """
    n_inside, n = int(inside.sum()), len(values)
    if not 0 < n_inside < n:
        return float("nan")
    weights = np.where(inside, 1 / n_inside, -1 / (n - n_inside))
    influences = weights * (values - values.mean())
    difference = float(influences.sum())
    variance = float(clustered_variance(influences[:, None], images)[0])
    if not np.isfinite(variance):
        return float("nan")
    if variance <= 0:
        return float(abs(difference) < 1e-12)
    n_images = len(np.unique(images))
    stats = need("scipy.stats", extra="analysis", what="a test of rows that share images")
    return float(2 * stats.t.sf(abs(difference) / variance**0.5, n_images - 1))


def effective_size(values: Floats, images: Images) -> float:
    """Return the number of independent rows that would give the mean of values `(n,)` the same variance; at most n.

    The design effect (Kish, 1965) of rows that share images, by which an interval for a proportion is widened.
    """
    n = len(values)
    spread = float(((values - values.mean()) ** 2).sum()) if n else 0.0
    variance = float(clustered_variance((values - values.mean())[:, None], images)[0]) if n else float("nan")
    if not spread or not np.isfinite(variance):
        return float(len(np.unique(images)))
    return n / max(1.0, variance / spread)


def image_means(values: Floats, images: Images) -> Floats:
    """Return the mean of the rows of each image, in the order of the images' numbers."""
    _, number = np.unique(images, return_inverse=True)
    means: Floats = np.bincount(number, values) / np.bincount(number)
    return means
