"""Calibration of a classifier: expected calibration error, reliability diagrams and temperature scaling.

The definitions are those of Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.statistics import Floats

N_BINS = 15
"""Number of bins of the reliability diagram, as in Guo et al. (ICML 2017)."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 1 / 50, 50.0
"""Range of temperatures that is searched. The loss of a model that is always right decreases without bound as the
temperature approaches 0, so the search needs an end.
"""
TOLERANCE = 1e-6
N_SIMULATIONS = 1000

ScoreChunks: TypeAlias = Callable[[], Iterable[tuple[Floats, NDArray[np.int64]]]]
"""A function that yields the data in chunks of scores `(n, k)` and labels `(n,)`. It can be called repeatedly, and the
whole data set need not fit into memory.
"""


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: the predictions with a confidence between `low` and `high`.

    Attributes:
        low: Lower end of the bin.
        high: Upper end of the bin.
        count: Number of predictions in the bin.
        confidence: Mean confidence of these predictions; NaN for an empty bin.
        accuracy: Fraction of these predictions that are correct; NaN for an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class TemperatureScaling:
    """Temperature scaling: logits divided by one number before the softmax or sigmoid.

    It changes the confidence of the predictions, never the predicted classes.

    Attributes:
        temperature: The temperature that minimises the loss.
        loss: Mean negative log-likelihood of the labels, without and with the temperature.
        ece: Expected calibration error with the temperature.
        unbounded: Whether the loss still decreases at the end of the searched range, so that it has no minimum within
            it.
    """

    temperature: float
    loss: tuple[float, float]
    ece: float
    unbounded: bool


@dataclass(frozen=True)
class Calibration:
    """The gap between the confidence and the accuracy of a model.

    Attributes:
        n: Number of predictions.
        ece: Expected calibration error `sum_m n_m / n |accuracy_m - confidence_m|` over bins of equal width.
        adaptive: The same over bins with equally many predictions (Nguyen & O'Connor, 2015).
        max_gap: Maximum calibration error (MCE): the largest gap of a bin that is not empty.
        gap: Mean confidence minus accuracy; positive values mean that the model is overconfident.
        chance: Mean and 95th percentile of `ece` for a perfectly calibrated model with the same confidences. Sampling
            alone produces values of this size.
        bins: The bins of equal width.
        adaptive_bins: The bins with equally many predictions.
        temperature_scaling: The fitted temperature, if it was computed.
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
        """Return whether the calibration error exceeds the 95th percentile of a perfectly calibrated model."""
        return self.ece > self.chance[1]


def calibration(confidence: Floats, correct: NDArray[np.bool_], bins: int = N_BINS, seed: int = 0) -> Calibration:
    """Compute the calibration of a set of predictions.

    Args:
        confidence: Probabilities `(n,)` of the predicted classes, in [0, 1].
        correct: Whether each prediction is correct `(n,)`.
        bins: Number of bins.
        seed: Seed of the simulation behind `Calibration.chance`.

    Returns:
        The calibration errors and their bins, without temperature scaling.
    """
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
    """Return bins of equal width; bin m holds the confidences in ((m - 1) / M, m / M], as in Guo et al.

    Args:
        confidence: Probabilities `(n,)` of the predicted classes, in [0, 1].
        hits: 1.0 for each correct prediction, 0.0 for each wrong one `(n,)`.
        bins: Number of bins M.

    Returns:
        All M bins, empty ones included.
    """
    bin_indices = _bin_indices(confidence, bins)
    edges = np.linspace(0, 1, bins + 1)
    return tuple(
        _make_bin(float(edges[m]), float(edges[m + 1]), confidence, hits, bin_indices == m) for m in range(bins)
    )


def equal_mass(confidence: Floats, hits: Floats, bins: int) -> tuple[Bin, ...]:
    """Return bins whose numbers of predictions differ by at most one (Nguyen & O'Connor, 2015).

    Predictions of equal confidence are assigned their mean accuracy, so that the result does not depend on their order.

    Args:
        confidence: Probabilities `(n,)` of the predicted classes, in [0, 1].
        hits: 1.0 for each correct prediction, 0.0 for each wrong one `(n,)`.
        bins: Number of bins.

    Returns:
        The bins that are not empty.
    """
    order = np.argsort(confidence, kind="stable")
    confidences, accuracies = confidence[order], hits[order]
    _, first, counts = np.unique(confidences, return_index=True, return_counts=True)
    accuracies = np.repeat(np.add.reduceat(accuracies, first) / counts, counts) if len(confidences) else accuracies
    parts = [part for part in np.array_split(np.arange(len(confidences)), bins) if len(part)]
    return tuple(
        _make_bin(float(confidences[part[0]]), float(confidences[part[-1]]), confidences, accuracies, part)
        for part in parts
    )


def fit_temperature(logits: ScoreChunks, bins: int = N_BINS, *, sigmoid: bool = False) -> TemperatureScaling:
    """Fit the temperature that minimises the negative log-likelihood of the labels (Guo et al., 2017, sec. 4.2).

    The loss is convex in beta = 1 / temperature, so the root of its gradient is found by bisection. The temperature is
    only reported; no model or score is modified.

    Args:
        logits: Function that yields chunks of scores and labels; it is called once per evaluation of the loss.
        bins: Number of bins of the calibration error that is reported with it.
        sigmoid: Whether each class has a sigmoid of its own (multi-label and binary networks), so that the loss is the
            mean binary cross-entropy of the classes; else a softmax, and the loss is the cross-entropy.

    Returns:
        The temperature, with the loss and the calibration error that it leads to.
    """
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    loss_of, error_of = (_sigmoid_loss, _sigmoid_error) if sigmoid else (_loss, _scaled_error)
    gradients = [loss_of(logits, beta)[1] for beta in (low, high)]
    if gradients[0] >= 0 or gradients[1] <= 0:
        best = low if gradients[0] >= 0 else high
    else:
        while high / low - 1 > TOLERANCE:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if loss_of(logits, middle)[1] < 0 else (low, middle)
        best = math.sqrt(low * high)
    endless = best in (1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE)
    loss = loss_of(logits, 1.0)[0], loss_of(logits, best)[0]
    return TemperatureScaling(1 / best, loss, error_of(logits, best, bins), endless)


def _loss(logits: ScoreChunks, beta: float) -> tuple[float, float]:
    """Return the mean loss of the scores times `beta` and its derivative with respect to `beta`.

    The derivative is the mean over the samples of E[score] minus the score of the label.
    """
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
    """Return the expected calibration error of the scores times `beta`."""
    confidences, hits = [], []
    for scores, labels in logits():
        scaled = beta * (scores - scores.max(1, keepdims=True))
        confidences.append(1 / np.exp(scaled).sum(1))
        hits.append(scores.argmax(1) == labels)
    return _calibration_error(equal_width(np.concatenate(confidences), np.concatenate(hits).astype(np.float64), bins))


def _sigmoid_loss(logits: ScoreChunks, beta: float) -> tuple[float, float]:
    """Return the mean binary cross-entropy of the scores times `beta` and its derivative with respect to `beta`."""
    total = gradient = 0.0
    count = 0
    for scores, labels in logits():
        truth = np.zeros_like(scores)
        truth[np.arange(len(labels)), labels] = 1
        scaled = beta * scores
        total += float((np.logaddexp(0, scaled) - truth * scaled).mean(1).sum())
        gradient += float((scores * (_sigmoid(scaled) - truth)).mean(1).sum())
        count += len(labels)
    return (total / count, gradient / count) if count else (math.nan, math.nan)


def _sigmoid_error(logits: ScoreChunks, beta: float, bins: int) -> float:
    """Return the expected calibration error of the sigmoid of the largest score times `beta`."""
    confidences = [_sigmoid(beta * scores.max(1)) for scores, _ in logits()]
    hits = [scores.argmax(1) == labels for scores, labels in logits()]
    return _calibration_error(equal_width(np.concatenate(confidences), np.concatenate(hits).astype(np.float64), bins))


def _sigmoid(scores: Floats) -> Floats:
    values: Floats = np.exp(-np.logaddexp(0, -scores))
    return values


def _expected_by_chance(confidence: Floats, bins: int, seed: int) -> tuple[float, float]:
    """Return mean and 95th percentile of the calibration error of a perfectly calibrated model, by simulation."""
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
    """Return the index of the bin of equal width that holds each confidence."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _make_bin(low: float, high: float, confidence: Floats, hits: Floats, indices: NDArray[np.generic]) -> Bin:
    """Return the bin of the predictions selected by `indices`."""
    inside = confidence[indices]
    if not len(inside):
        return Bin(low, high, 0, math.nan, math.nan)
    return Bin(low, high, len(inside), float(inside.mean()), float(hits[indices].mean()))


def _calibration_error(bins: Iterable[Bin]) -> float:
    """Return the mean gap between accuracy and confidence, weighted by the predictions per bin."""
    nonempty = [each for each in bins if each.count]
    total = sum(each.count for each in nonempty)
    return sum(each.count * abs(each.accuracy - each.confidence) for each in nonempty) / total if total else math.nan
