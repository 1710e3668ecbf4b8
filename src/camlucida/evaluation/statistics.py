"""Intervals and tests. The unit is the picture: methods share pictures, so comparisons are paired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
"""How often the pictures are drawn again."""


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def interval(
    number: Callable[[NDArray[np.int64]], float], count: int, *, draws: int = DRAWS, seed: int = 0, share: float = 0.95
) -> Interval:
    """The percentile bootstrap (Efron 1979) of a number of `count` pictures.

    number   which pictures in, a picture as often as it is drawn, the number out
    """
    if not count:
        return Interval(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    value = number(np.arange(count))
    drawn = [number(rng.integers(0, count, count)) for _ in range(draws)]
    tail = (1 - share) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return Interval(value, float(low), float(high))
