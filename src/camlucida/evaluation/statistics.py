"""Intervals and tests. The unit is the picture: methods share pictures, so comparisons are paired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.seeds import check_seed

Floats = NDArray[np.float64]

N_BOOTSTRAP = 1000
"""How often the pictures are drawn again."""
CONFIDENCE_LEVEL = 0.95
"""Of all data sets of this kind, how many would have an interval that holds the true number."""
SIGNIFICANCE_LEVEL = 0.05
"""A difference whose corrected p-value is at most this is called one."""
ROUNDING_TOLERANCE = 1e-5
"""Numbers that are closer than this share of the largest are equal: about what a network in float32 leaves."""
MAX_NUMBERS = 4_000_000
"""Numbers in memory at a time: draws are taken in groups of so many numbers a group."""


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def negated(self) -> Interval:
        """Of the negative number."""
        return Interval(-self.value, -self.high, -self.low)


def resamples(n: int, draws: int = N_BOOTSTRAP, seed: int = 0) -> Iterator[Floats]:
    """How often each of `count` pictures is drawn: (some, count) at a time, `draws` rows in all.

    The bootstrap (Efron 1979): as many pictures as there are, with repeats. The same seed gives the same draws, so that
    everything that is computed from them is paired.
    """
    rng = np.random.default_rng(check_seed(seed))
    probabilities = np.full(n, 1 / n)
    chunk = max(1, MAX_NUMBERS // n)
    for start in range(0, draws, chunk):
        yield rng.multinomial(n, probabilities, size=min(chunk, draws - start)).astype(np.float64)


def resampled_means(drawn: Floats, values: Floats) -> Floats:
    """The means (draws, k) of the columns of values (n, k) over the pictures drawn (draws, n). NaN is not measured."""
    measured = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: Floats = (drawn @ np.where(measured, values, 0)) / (drawn @ measured)
    return means


def resampled_class_means(drawn: Floats, values: Floats, classes: NDArray[np.int64]) -> Floats:
    """The same, first within each class (n,) and then over the classes that were drawn and measured."""
    total, count = np.zeros((2, len(drawn), values.shape[1]))
    for class_index in np.unique(classes):
        inside = classes == class_index
        means = resampled_means(drawn[:, inside], values[inside])
        known = ~np.isnan(means)
        total += np.where(known, means, 0)
        count += known
    with np.errstate(invalid="ignore"):
        class_means: Floats = total / count
    return class_means


def percentile_interval(value: float, drawn: Floats, level: float = CONFIDENCE_LEVEL) -> Interval:
    """The percentile interval of a number, from what it was in each draw; draws without a number are left out."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """McNemar's test (1947), exact: the p-value of as many pictures hit by only one of two methods."""
    return (
        float(_scipy_stats().binomtest(only_first, only_first + only_second).pvalue)
        if only_first + only_second
        else 1.0
    )


def paired_differences(first: Floats, second: Floats) -> Floats:
    """One less two, and 0 where they are equal but for rounding.

    Two methods that give the same map up to a factor differ in the last digits of float32, often all in one direction:
    a test by ranks would find a winner.
    """
    differences = first - second
    size = max(np.abs(first).max(initial=0.0), np.abs(second).max(initial=0.0))
    return np.where(np.abs(differences) <= ROUNDING_TOLERANCE * size, 0.0, differences)


def wilcoxon_p(differences: Floats) -> float:
    """Wilcoxon's test (1945): the p-value of paired differences. Those of 0 are left out, as he has it."""
    if not differences.any():
        return 1.0
    return float(_scipy_stats().wilcoxon(differences).pvalue)


def bootstrap_p(difference: float, drawn: Floats) -> float:
    """The p-value of a difference by its bootstrap standard error, for numbers that are no means over pictures."""
    standard_error = float(np.std(drawn[np.isfinite(drawn)], ddof=1)) if np.isfinite(drawn).sum() > 1 else float("nan")
    if not np.isfinite(difference) or not np.isfinite(standard_error):
        return float("nan")
    if standard_error == 0:
        return float(difference == 0)
    return float(2 * _scipy_stats().norm.sf(abs(difference) / standard_error))


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, as Holm (1979) has it. NaN is no test, stays NaN and does not count."""
    corrected = np.array(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(corrected))
    order = tested[np.argsort(corrected[tested], kind="stable")]
    scaled = corrected[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1) if len(order) else scaled
    return [float(p) for p in corrected]


def pairwise_signs(numbers: Floats) -> NDArray[np.int8]:
    """Which of each two of `numbers` (..., m) is larger: (..., pairs) of -1, 0 and 1; 0 where one is NaN."""
    first, second = np.triu_indices(numbers.shape[-1], 1)
    with np.errstate(invalid="ignore"):
        signs = np.sign(numbers[..., first] - numbers[..., second])
    return np.nan_to_num(signs).astype(np.int8)


def kendall(numbers: Floats) -> Floats:
    """Kendall's tau-b (1945) between rows: numbers (..., k, m) in, (..., k, k) out; NaN where a row is all ties."""
    signs = pairwise_signs(numbers).astype(np.float32)  # whole numbers far below 2**24: exact
    concordance = (signs @ signs.swapaxes(-1, -2)).astype(np.float64)
    n_untied = np.einsum("...aa->...a", concordance)
    sizes = np.sqrt(n_untied[..., :, None] * n_untied[..., None, :])
    with np.errstate(invalid="ignore", divide="ignore"):
        tau: Floats = concordance / sizes
    return tau


def _scipy_stats() -> ModuleType:
    return need("scipy.stats", extra="analysis", what="comparing methods")
