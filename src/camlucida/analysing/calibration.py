"""Is a model as often right as it says? Calibration error, reliability, and the temperature that would help."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.statistics import Floats

BINS = 15
"""Guo et al., ICML 2017."""
COLDEST, HOTTEST = 1 / 50, 50.0
"""Temperatures that are looked among: the loss of a model that is always right falls for ever."""
PRECISION = 1e-6
DRAWS = 1000

Logits: TypeAlias = Callable[[], Iterable[tuple[Floats, NDArray[np.int64]]]]
"""Gives chunk by chunk scores (n, k) and true classes (n,), each time it is called: they need not fit into memory."""


@dataclass(frozen=True)
class Bin:
    """Answers of about one confidence: how many, how sure they are on average, and how many are right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Tempered:
    """Scores divided by one number before the softmax: no answer changes, only how sure it is.

    loss     mean negative log-likelihood of the true class, as it is and as it would be
    ece      as it would be
    endless  whether the loss still falls at the end of what was searched: it has no minimum
    """

    temperature: float
    loss: tuple[float, float]
    ece: float
    endless: bool


@dataclass(frozen=True)
class Calibration:
    """How far confidence and accuracy are apart.

    ece       expected calibration error: sum_m n_m / n |accuracy_m - confidence_m| over bins of equal width
    adaptive  the same over bins with equally many answers (Nguyen & O'Connor, 2015)
    largest   the largest gap of a bin with answers (MCE)
    gap       mean confidence less accuracy: above 0 the model is too sure of itself
    chance    (mean, 95th percentile) of `ece` if each answer were right exactly as often as it says: so many pictures
              give that by chance alone
    """

    n: int
    ece: float
    adaptive: float
    largest: float
    gap: float
    chance: tuple[float, float]
    bins: tuple[Bin, ...]
    adaptive_bins: tuple[Bin, ...]
    tempered: Tempered | None = None

    @property
    def off(self) -> bool:
        """Whether it is worse than chance explains."""
        return self.ece > self.chance[1]


def calibration(confidence: Floats, correct: NDArray[np.bool_], bins: int = BINS, seed: int = 0) -> Calibration:
    """Of answers (n,): how sure each was, in [0, 1], and whether it was right."""
    hits = correct.astype(np.float64)
    even, equal = equal_width(confidence, hits, bins), equal_mass(confidence, hits, bins)
    found = [each for each in even if each.count]
    return Calibration(
        n=len(hits),
        ece=_error(even),
        adaptive=_error(equal),
        largest=max((abs(each.accuracy - each.confidence) for each in found), default=math.nan),
        gap=float(confidence.mean() - hits.mean()) if len(hits) else math.nan,
        chance=_by_chance(confidence, bins, seed),
        bins=even,
        adaptive_bins=equal,
    )


def equal_width(confidence: Floats, hits: Floats, bins: int) -> tuple[Bin, ...]:
    """Bin m holds what lies in ((m - 1) / M, m / M], as Guo et al. have it."""
    which = _widths(confidence, bins)
    edges = np.linspace(0, 1, bins + 1)
    return tuple(_bin(float(edges[m]), float(edges[m + 1]), confidence, hits, which == m) for m in range(bins))


def equal_mass(confidence: Floats, hits: Floats, bins: int) -> tuple[Bin, ...]:
    """Bins with equally many answers, to one. Equally sure ones share their hits, so that their order is none."""
    order = np.argsort(confidence, kind="stable")
    sure, right = confidence[order], hits[order]
    _, first, counts = np.unique(sure, return_index=True, return_counts=True)
    right = np.repeat(np.add.reduceat(right, first) / counts, counts) if len(sure) else right
    parts = [part for part in np.array_split(np.arange(len(sure)), bins) if len(part)]
    return tuple(_bin(float(sure[part[0]]), float(sure[part[-1]]), sure, right, part) for part in parts)


def tempered(logits: Logits, bins: int = BINS) -> Tempered:
    """The temperature that would make the true classes likeliest (Guo et al., sec. 4.2); nothing is changed by it.

    The loss is convex in 1 / temperature: its slope is followed to 0 by bisection.
    """
    low, high = 1 / HOTTEST, 1 / COLDEST
    slopes = [_loss(logits, beta)[1] for beta in (low, high)]
    if slopes[0] >= 0 or slopes[1] <= 0:
        best = low if slopes[0] >= 0 else high
    else:
        while high / low - 1 > PRECISION:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if _loss(logits, middle)[1] < 0 else (low, middle)
        best = math.sqrt(low * high)
    endless = best in (1 / HOTTEST, 1 / COLDEST)
    loss = _loss(logits, 1.0)[0], _loss(logits, best)[0]
    return Tempered(1 / best, loss, _tempered_error(logits, best, bins), endless)


def _loss(logits: Logits, beta: float) -> tuple[float, float]:
    """The mean loss of scores times beta, and its slope by beta: the mean of E[score] - score of the true class."""
    total = slope = 0.0
    count = 0
    for scores, truth in logits():
        scaled = beta * scores
        top = scaled.max(1, keepdims=True)
        weights = np.exp(scaled - top)
        norm = weights.sum(1)
        right = np.arange(len(truth)), truth
        total += float((np.log(norm) + top[:, 0] - scaled[right]).sum())
        slope += float(((weights * scores).sum(1) / norm - scores[right]).sum())
        count += len(truth)
    return (total / count, slope / count) if count else (math.nan, math.nan)


def _tempered_error(logits: Logits, beta: float, bins: int) -> float:
    sure, right = [], []
    for scores, truth in logits():
        scaled = beta * (scores - scores.max(1, keepdims=True))
        sure.append(1 / np.exp(scaled).sum(1))
        right.append(scores.argmax(1) == truth)
    return _error(equal_width(np.concatenate(sure), np.concatenate(right).astype(np.float64), bins))


def _by_chance(confidence: Floats, bins: int, seed: int) -> tuple[float, float]:
    """The error of a model that is as often right as it says, on so many pictures: mean and 95th percentile."""
    if not len(confidence):
        return math.nan, math.nan
    rng, which = np.random.default_rng(seed), _widths(confidence, bins)
    sums = np.bincount(which, confidence, bins)
    drawn = np.empty(DRAWS)
    for i in range(DRAWS):
        right = rng.random(len(confidence)) < confidence
        drawn[i] = np.abs(np.bincount(which, right, bins) - sums).sum() / len(confidence)
    return float(drawn.mean()), float(np.quantile(drawn, 0.95))


def _widths(confidence: Floats, bins: int) -> NDArray[np.int64]:
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _bin(low: float, high: float, confidence: Floats, hits: Floats, which: NDArray[np.generic]) -> Bin:
    inside = confidence[which]
    if not len(inside):
        return Bin(low, high, 0, math.nan, math.nan)
    return Bin(low, high, len(inside), float(inside.mean()), float(hits[which].mean()))


def _error(bins: Iterable[Bin]) -> float:
    found = [each for each in bins if each.count]
    total = sum(each.count for each in found)
    return sum(each.count * abs(each.accuracy - each.confidence) for each in found) / total if total else math.nan
