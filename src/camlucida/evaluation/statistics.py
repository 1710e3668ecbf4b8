"""Confidence intervals and tests. The unit is the image: methods share images, so comparisons are paired.

Where an image has several targets, such as the boxes of a detector, its values are not independent. Images are then
resampled with all their values (cluster bootstrap), and comparisons use the standard error of that bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from camlucida._optional import need
from camlucida.seeds import check_seed

Floats = NDArray[np.float64]
Alternative: TypeAlias = Literal["two-sided", "less", "greater"]
"""The alternative of a test, as SciPy names it."""

N_BOOTSTRAP = 1000
"""Number of bootstrap resamples."""
CONFIDENCE_LEVEL = 0.95
"""Coverage of the confidence intervals."""
SIGNIFICANCE_LEVEL = 0.05
"""A difference is significant if its corrected p-value is at most this."""
ROUNDING_TOLERANCE = 1e-5
"""Values that differ by less than this fraction of the largest one are ties: about the rounding error of float32."""
MIN_INTERVAL_SIZE = 4
"""Smallest number of values with a confidence interval.

A resample of n values consists of the smallest one alone with probability n^-n. Below n = 4 that is more than the 2.5 %
in a tail of the 95 % interval, which would then be the range of the values, whatever their number says.
"""
MAX_NUMBERS = 4_000_000
"""Bootstrap counts held in memory at a time."""


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def negated(self) -> Interval:
        """The interval of the negated value."""
        return Interval(-self.value, -self.high, -self.low)


def resamples(n: int, draws: int = N_BOOTSTRAP, seed: int = 0) -> Iterator[Floats]:
    """Yield bootstrap counts of n images, `(some, n)` at a time, `draws` rows in total.

    Each resample has n images with repetition (Efron, 1979). The same seed gives the same resamples, so that all values
    computed from them are paired.
    """
    rng = np.random.default_rng(check_seed(seed))
    probabilities = np.full(n, 1 / n)
    chunk = max(1, MAX_NUMBERS // n)
    for start in range(0, draws, chunk):
        yield rng.multinomial(n, probabilities, size=min(chunk, draws - start)).astype(np.float64)


def resampled_means(drawn: Floats, values: Floats, images: NDArray[np.int64] | None = None) -> Floats:
    """Compute the means `(draws, k)` of values `(n, k)` for bootstrap counts `(draws, m)`; NaN values are left out.

    Args:
        drawn: How often each of the m images is in each resample.
        values: The values.
        images: `(n,)` positions of the images that the values belong to, where an image may have several: an image is
            drawn with all its values, since those of one image are not independent. None for one value per image.
    """
    measured = ~np.isnan(values)
    known = np.where(measured, values, 0)
    if images is None:
        return _divide(drawn @ known, drawn @ measured)
    totals, counts = np.zeros((2, drawn.shape[1], values.shape[1]))
    np.add.at(totals, images, known)
    np.add.at(counts, images, measured)
    return _divide(drawn @ totals, drawn @ counts)


def resampled_class_means(drawn: Floats, values: Floats, classes: NDArray[np.int64]) -> Floats:
    """Compute means within each class `(n,)`, then over the classes that were resampled and measured: `(draws, k)`."""
    total, count = np.zeros((2, len(drawn), values.shape[1]))
    for class_index in np.unique(classes):
        inside = classes == class_index
        means = resampled_means(drawn[:, inside], values[inside])
        known = ~np.isnan(means)
        total += np.where(known, means, 0)
        count += known
    return _divide(total, count)


def _divide(total: Floats, count: Floats) -> Floats:
    """Return total / count; NaN for resamples without any measured value."""
    quotient: Floats = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    return quotient


def percentile_interval(value: float, drawn: Floats, n: int, level: float = CONFIDENCE_LEVEL) -> Interval:
    """Return the percentile interval of a value from its bootstrap values.

    Args:
        value: The value.
        drawn: `(draws,)` the value in every resample; NaN in those that contain none of its images, which are left out.
        n: Number of images (or other units) from which the value is computed.
        level: Coverage, in (0, 1).

    Returns:
        The interval; its ends are NaN for fewer than `MIN_INTERVAL_SIZE` images, and for a value that is not finite.
    """
    drawn = drawn[np.isfinite(drawn)]
    if n < MIN_INTERVAL_SIZE or not len(drawn) or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def mcnemar_p(only_first: int, only_second: int, alternative: Alternative = "two-sided") -> float:
    """Compute the p-value of McNemar's exact test (1947) from the numbers of images that only one method hits.

    Args:
        only_first: Number of images that only the first method hits.
        only_second: Number of images that only the second one hits.
        alternative: The first method is better ("greater"), worse ("less"), or either ("two-sided").
    """
    n = only_first + only_second
    return float(_scipy_stats().binomtest(only_first, n, alternative=alternative).pvalue) if n else 1.0


def paired_differences(first: Floats, second: Floats) -> Floats:
    """Return first minus second, with differences within rounding set to 0.

    Two methods with the same map up to a factor differ in the last digits of float32, often all in one direction, so
    that a rank test would find a winner.
    """
    differences = first - second
    size = max(np.abs(first).max(initial=0.0), np.abs(second).max(initial=0.0))
    return np.where(np.abs(differences) <= ROUNDING_TOLERANCE * size, 0.0, differences)


def wilcoxon_p(differences: Floats, alternative: Alternative = "two-sided") -> float:
    """Compute the p-value of Wilcoxon's signed-rank test (1945) of paired differences; zeros are left out.

    Args:
        differences: `(n,)`.
        alternative: The differences are larger than 0 ("greater"), smaller ("less"), or either ("two-sided").
    """
    if not differences.any():
        return 1.0
    return float(_scipy_stats().wilcoxon(differences, alternative=alternative).pvalue)


def bootstrap_p(difference: float, drawn: Floats) -> float:
    """Compute the p-value of a difference from its bootstrap standard error.

    Used for values that are not means over images.
    """
    standard_error = float(np.std(drawn[np.isfinite(drawn)], ddof=1)) if np.isfinite(drawn).sum() > 1 else float("nan")
    if not np.isfinite(difference) or not np.isfinite(standard_error):
        return float("nan")
    if standard_error == 0:
        return float(difference == 0)
    return float(2 * _scipy_stats().norm.sf(abs(difference) / standard_error))


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple tests by Holm's method (1979). NaN means no test, stays NaN and does not count."""
    corrected = np.array(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(corrected))
    order = tested[np.argsort(corrected[tested], kind="stable")]
    scaled = corrected[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1) if len(order) else scaled
    return [float(p) for p in corrected]


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Correct p-values for multiple tests by the method of Benjamini and Hochberg (1995).

    Of the hypotheses whose corrected p-value is at most q, a fraction of at most q is expected to be true, for tests
    that are independent or positively dependent.

    Args:
        p: P-values `(n,)`. NaN means no test, stays NaN and does not count.

    Returns:
        The corrected p-values `(n,)`, also called adjusted p-values or q-values.
    """
    corrected = np.array(p, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(corrected))
    order = tested[np.argsort(-corrected[tested], kind="stable")]
    scaled = corrected[order] * len(order) / np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.minimum.accumulate(scaled), 1.0) if len(order) else scaled
    return corrected


def pairwise_signs(numbers: Floats) -> NDArray[np.int8]:
    """Return the signs `(..., pairs)` of the pairwise differences of `numbers` `(..., m)`; 0 if one is NaN."""
    first, second = np.triu_indices(numbers.shape[-1], 1)
    with np.errstate(invalid="ignore"):
        signs = np.sign(numbers[..., first] - numbers[..., second])
    return np.nan_to_num(signs).astype(np.int8)


def kendall(numbers: Floats) -> Floats:
    """Compute Kendall's tau-b (1945) between rows of `numbers` `(..., k, m)`: `(..., k, k)`.

    NaN if all values of a row are tied.
    """
    signs = pairwise_signs(numbers).astype(np.float32)  # integers below 2**24 are exact in float32
    concordance = (signs @ signs.swapaxes(-1, -2)).astype(np.float64)
    n_untied = np.einsum("...aa->...a", concordance)
    sizes = np.sqrt(n_untied[..., :, None] * n_untied[..., None, :])
    with np.errstate(invalid="ignore", divide="ignore"):
        tau: Floats = concordance / sizes
    return tau


def _scipy_stats() -> ModuleType:
    return need("scipy.stats", extra="analysis", what="comparing methods")
