"""Is a model as often right as it says? Calibration error, reliability, and the temperature that would help."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.statistics import Floats

N_BINS = 15
"""Guo et al., ICML 2017."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 1 / 50, 50.0
"""Temperatures that are looked among: the loss of a model that is always right falls for ever."""
TOLERANCE = 1e-6
N_SIMULATIONS = 1000

ScoreChunks: TypeAlias = Callable[[], Iterable[tuple[Floats, NDArray[np.int64]]]]
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
class TemperatureScaling:
    """Scores divided by one number before the softmax: no answer changes, only how sure it is.

    loss     mean negative log-likelihood of the true class, as it is and as it would be
    ece      as it would be
    endless  whether the loss still falls at the end of what was searched: it has no minimum
    """

    temperature: float
    loss: tuple[float, float]
    ece: float
    unbounded: bool


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
    max_gap: float
    gap: float
    chance: tuple[float, float]
    bins: tuple[Bin, ...]
    adaptive_bins: tuple[Bin, ...]
    temperature_scaling: TemperatureScaling | None = None

    @property
    def off(self) -> bool:
        """Whether it is worse than chance explains."""
        return self.ece > self.chance[1]


def calibration(confidence: Floats, correct: NDArray[np.bool_], bins: int = N_BINS, seed: int = 0) -> Calibration:
    """Of answers (n,): how sure each was, in [0, 1], and whether it was right."""
    hits = correct.astype(np.float64)
    width_bins, mass_bins = equal_width(confidence, hits, bins), equal_mass(confidence, hits, bins)
    nonempty = [bin_ for bin_ in width_bins if bin_.count]
    return Calibration(
        n=len(hits),
        ece=_calibration_error(width_bins),
        adaptive=_calibration_error(mass_bins),
        max_gap=max((abs(each.accuracy - each.confidence) for each in nonempty), default=math.nan),
        gap=float(confidence.mean() - hits.mean()) if len(hits) else math.nan,
        chance=_expected_by_chance(confidence, bins, seed),
        bins=width_bins,
        adaptive_bins=mass_bins,
    )


def equal_width(confidence: Floats, hits: Floats, bins: int) -> tuple[Bin, ...]:
    """Bin m holds what lies in ((m - 1) / M, m / M], as Guo et al. have it."""
    bin_indices = _bin_indices(confidence, bins)
    edges = np.linspace(0, 1, bins + 1)
    return tuple(
        _make_bin(float(edges[m]), float(edges[m + 1]), confidence, hits, bin_indices == m) for m in range(bins)
    )


def equal_mass(confidence: Floats, hits: Floats, bins: int) -> tuple[Bin, ...]:
    """Bins with equally many answers, to one. Equally sure ones share their hits, so that their order is none."""
    order = np.argsort(confidence, kind="stable")
    confidences, accuracies = confidence[order], hits[order]
    _, first, counts = np.unique(confidences, return_index=True, return_counts=True)
    accuracies = np.repeat(np.add.reduceat(accuracies, first) / counts, counts) if len(confidences) else accuracies
    parts = [part for part in np.array_split(np.arange(len(confidences)), bins) if len(part)]
    return tuple(
        _make_bin(float(confidences[part[0]]), float(confidences[part[-1]]), confidences, accuracies, part)
        for part in parts
    )


def fit_temperature(logits: ScoreChunks, bins: int = N_BINS) -> TemperatureScaling:
    """The temperature that would make the true classes likeliest (Guo et al., sec. 4.2); nothing is changed by it.

    The loss is convex in 1 / temperature: its slope is followed to 0 by bisection.
    """
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    gradients = [_loss(logits, beta)[1] for beta in (low, high)]
    if gradients[0] >= 0 or gradients[1] <= 0:
        best = low if gradients[0] >= 0 else high
    else:
        while high / low - 1 > TOLERANCE:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if _loss(logits, middle)[1] < 0 else (low, middle)
        best = math.sqrt(low * high)
    endless = best in (1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE)
    loss = _loss(logits, 1.0)[0], _loss(logits, best)[0]
    return TemperatureScaling(1 / best, loss, _scaled_error(logits, best, bins), endless)


def _loss(logits: ScoreChunks, beta: float) -> tuple[float, float]:
    """The mean loss of scores times beta, and its slope by beta: the mean of E[score] - score of the true class."""
    total = gradient = 0.0
    count = 0
    for scores, labels in logits():
        scaled = beta * scores
        top = scaled.max(1, keepdims=True)
        weights = np.exp(scaled - top)
        norm = weights.sum(1)
        right = np.arange(len(labels)), labels
        total += float((np.log(norm) + top[:, 0] - scaled[right]).sum())
        gradient += float(((weights * scores).sum(1) / norm - scores[right]).sum())
        count += len(labels)
    return (total / count, gradient / count) if count else (math.nan, math.nan)


def _scaled_error(logits: ScoreChunks, beta: float, bins: int) -> float:
    confidences, hits = [], []
    for scores, labels in logits():
        scaled = beta * (scores - scores.max(1, keepdims=True))
        confidences.append(1 / np.exp(scaled).sum(1))
        hits.append(scores.argmax(1) == labels)
    return _calibration_error(equal_width(np.concatenate(confidences), np.concatenate(hits).astype(np.float64), bins))


def _expected_by_chance(confidence: Floats, bins: int, seed: int) -> tuple[float, float]:
    """The error of a model that is as often right as it says, on so many pictures: mean and 95th percentile."""
    if not len(confidence):
        return math.nan, math.nan
    rng, bin_indices = np.random.default_rng(seed), _bin_indices(confidence, bins)
    sums = np.bincount(bin_indices, confidence, bins)
    simulated = np.empty(N_SIMULATIONS)
    for i in range(N_SIMULATIONS):
        hits = rng.random(len(confidence)) < confidence
        simulated[i] = np.abs(np.bincount(bin_indices, hits, bins) - sums).sum() / len(confidence)
    return float(simulated.mean()), float(np.quantile(simulated, 0.95))


def _bin_indices(confidence: Floats, bins: int) -> NDArray[np.int64]:
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _make_bin(low: float, high: float, confidence: Floats, hits: Floats, indices: NDArray[np.generic]) -> Bin:
    inside = confidence[indices]
    if not len(inside):
        return Bin(low, high, 0, math.nan, math.nan)
    return Bin(low, high, len(inside), float(inside.mean()), float(hits[indices].mean()))


def _calibration_error(bins: Iterable[Bin]) -> float:
    nonempty = [each for each in bins if each.count]
    total = sum(each.count for each in nonempty)
    return sum(each.count * abs(each.accuracy - each.confidence) for each in nonempty) / total if total else math.nan
