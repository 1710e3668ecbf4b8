"""Intervals and tests. The unit is the picture: methods share pictures, so comparisons are paired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from camlucida.extras import need
from camlucida.seeds import check_seed

Floats = NDArray[np.float64]

DRAWS = 1000
"""How often the pictures are drawn again."""
SHARE = 0.95
"""Of all data sets of this kind, how many would have an interval that holds the true number."""
LEVEL = 0.05
"""A difference whose corrected p-value is at most this is called one."""
ROUNDING = 1e-5
"""Numbers that are closer than this share of the largest are equal: about what a network in float32 leaves."""
ROOM = 4_000_000
"""Numbers in memory at a time: draws are taken in groups of so many numbers a group."""


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def turned(self) -> Interval:
        """Of the negative number."""
        return Interval(-self.value, -self.high, -self.low)


def resamples(count: int, draws: int = DRAWS, seed: int = 0) -> Iterator[Floats]:
    """How often each of `count` pictures is drawn: (some, count) at a time, `draws` rows in all.

    The bootstrap (Efron 1979): as many pictures as there are, with repeats. The same seed gives the same draws, so that
    everything that is computed from them is paired.
    """
    rng = np.random.default_rng(check_seed(seed))
    even = np.full(count, 1 / count)
    group = max(1, ROOM // count)
    for start in range(0, draws, group):
        yield rng.multinomial(count, even, size=min(group, draws - start)).astype(np.float64)


def drawn_means(drawn: Floats, values: Floats) -> Floats:
    """The means (draws, k) of the columns of values (n, k) over the pictures drawn (draws, n). NaN is not measured."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        found: Floats = (drawn @ np.where(known, values, 0)) / (drawn @ known)
    return found


def drawn_class_means(drawn: Floats, values: Floats, classes: NDArray[np.int64]) -> Floats:
    """The same, first within each class (n,) and then over the classes that were drawn and measured."""
    total, count = np.zeros((2, len(drawn), values.shape[1]))
    for of_class in np.unique(classes):
        inside = classes == of_class
        means = drawn_means(drawn[:, inside], values[inside])
        known = ~np.isnan(means)
        total += np.where(known, means, 0)
        count += known
    with np.errstate(invalid="ignore"):
        found: Floats = total / count
    return found


def percentiles(value: float, drawn: Floats, share: float = SHARE) -> Interval:
    """The percentile interval of a number, from what it was in each draw; draws without a number are left out."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - share) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's test (1947), exact: the p-value of as many pictures hit by only one of two methods."""
    return float(_stats().binomtest(only_first, only_first + only_second).pvalue) if only_first + only_second else 1.0


def differences_of(one: Floats, two: Floats) -> Floats:
    """One less two, and 0 where they are equal but for rounding.

    Two methods that give the same map up to a factor differ in the last digits of float32, often all in one direction:
    a test by ranks would find a winner.
    """
    found = one - two
    size = max(np.abs(one).max(initial=0.0), np.abs(two).max(initial=0.0))
    return np.where(np.abs(found) <= ROUNDING * size, 0.0, found)


def signed_rank(differences: Floats) -> float:
    """Wilcoxon's test (1945): the p-value of paired differences. Those of 0 are left out, as he has it."""
    if not differences.any():
        return 1.0
    return float(_stats().wilcoxon(differences).pvalue)


def by_spread(difference: float, drawn: Floats) -> float:
    """The p-value of a difference by its bootstrap standard error, for numbers that are no means over pictures."""
    spread = float(np.std(drawn[np.isfinite(drawn)], ddof=1)) if np.isfinite(drawn).sum() > 1 else float("nan")
    if not np.isfinite(difference) or not np.isfinite(spread):
        return float("nan")
    if spread == 0:
        return float(difference == 0)
    return float(2 * _stats().norm.sf(abs(difference) / spread))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, as Holm (1979) has it. NaN is no test, stays NaN and does not count."""
    found = np.array(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(found))
    order = tested[np.argsort(found[tested], kind="stable")]
    steps = found[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return [float(p) for p in found]


def orders(numbers: Floats) -> NDArray[np.int8]:
    """Which of each two of `numbers` (..., m) is larger: (..., pairs) of -1, 0 and 1; 0 where one is NaN."""
    first, second = np.triu_indices(numbers.shape[-1], 1)
    with np.errstate(invalid="ignore"):
        found = np.sign(numbers[..., first] - numbers[..., second])
    return np.nan_to_num(found).astype(np.int8)


def kendall(numbers: Floats) -> Floats:
    """Kendall's tau-b (1945) between rows: numbers (..., k, m) in, (..., k, k) out; NaN where a row is all ties."""
    signs = orders(numbers).astype(np.float32)  # whole numbers far below 2**24: exact
    together = (signs @ signs.swapaxes(-1, -2)).astype(np.float64)
    untied = np.einsum("...aa->...a", together)
    sizes = np.sqrt(untied[..., :, None] * untied[..., None, :])
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = together / sizes
    return found


def _stats() -> ModuleType:
    return need("scipy.stats", extra="analysis", what="comparing methods")
