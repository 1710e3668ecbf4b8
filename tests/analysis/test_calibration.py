"""Calibration against a direct implementation of its formula, against scikit-learn, and against known results."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from camlucida.analysis.calibration import calibration, fit_temperature


def answers(n: int, seed: int = 0, off: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """How sure, and right as often as that less `off`."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.2, 1, n)
    return confidence, rng.random(n) < confidence - off


def reference_ece(sure: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Guo et al. 2017, eq. 3, as it stands there."""
    total = 0.0
    for m in range(1, bins + 1):
        inside = [i for i in range(len(sure)) if (m - 1) / bins < sure[i] <= m / bins]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            confidence = sum(sure[i] for i in inside) / len(inside)
            total += len(inside) / len(sure) * abs(accuracy - confidence)
    return total


def test_ece_is_the_papers_formula() -> None:
    confidence, right = answers(700, off=0.1)
    result = calibration(confidence, right)
    assert result.ece == pytest.approx(reference_ece(confidence, right), abs=1e-12)
    assert result.gap == pytest.approx(confidence.mean() - right.mean(), abs=1e-12)
    gaps = [abs(b.accuracy - b.confidence) for b in result.bins if b.count]
    assert result.max_gap == max(gaps)
    assert sum(b.count for b in result.bins) == 700


def test_bins_are_closed_on_the_right() -> None:
    result = calibration(np.array([0.2, 0.4, 1.0]), np.array([True, False, True]), bins=5)
    assert [b.count for b in result.bins] == [1, 1, 0, 0, 1]
    assert result.ece == pytest.approx((0.8 + 0.4 + 0.0) / 3)


def test_bins_are_those_of_scikit_learn() -> None:
    confidence, right = answers(500)
    for actual, strategy in (("bins", "uniform"), ("adaptive_bins", "quantile")):
        result = [b for b in getattr(calibration(confidence, right, bins=10), actual) if b.count]
        share, mean = calibration_curve(right, confidence, n_bins=10, strategy=strategy)
        np.testing.assert_allclose([b.accuracy for b in result], share, atol=1e-12)
        np.testing.assert_allclose([b.confidence for b in result], mean, atol=1e-12)


def test_ties_in_confidence_have_no_order() -> None:
    confidence = np.repeat([0.6, 0.9], 50)
    right = np.arange(100) % 3 == 0
    shuffled = np.random.default_rng(1).permutation(100)
    assert calibration(confidence, right).adaptive == pytest.approx(
        calibration(confidence[shuffled], right[shuffled]).adaptive, abs=1e-12
    )


def test_ece_expected_by_chance() -> None:
    """Of models that are right as often as they say one in twenty is called off; one 20 points off always is."""
    called = sum(calibration(*answers(150, seed)).off for seed in range(100))
    assert 0 <= called <= 12
    assert all(calibration(*answers(150, seed, off=0.2)).off for seed in range(20))


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_recovers_the_temperature(true: float) -> None:
    """Labels drawn from the softmax of scores; the scores are then told `true` times as large."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (4000, 6))
    probabilities = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    labels = np.array([rng.choice(6, p=row) for row in probabilities])
    scores = true * honest
    parts = [(scores[:1500], labels[:1500]), (scores[1500:], labels[1500:])]
    result = fit_temperature(lambda: parts)
    assert result.temperature == pytest.approx(true, rel=0.05)

    def loss(temperature: float) -> float:
        scaled = np.exp(scores / temperature - (scores / temperature).max(1, keepdims=True))
        return float(log_loss(labels, scaled / scaled.sum(1, keepdims=True)))

    best = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-7})
    assert result.temperature == pytest.approx(best.x, rel=1e-4)
    assert result.loss == (pytest.approx(loss(1.0), abs=1e-9), pytest.approx(best.fun, abs=1e-9))
    scaled = np.exp(scores / best.x)
    confidence = (scaled / scaled.sum(1, keepdims=True)).max(1)
    assert result.ece == pytest.approx(reference_ece(confidence, scores.argmax(1) == labels), abs=1e-4)


def test_temperature_is_unbounded_without_errors() -> None:
    scores = np.eye(3)[[0, 1, 2, 0]] * 4
    result = fit_temperature(lambda: [(scores, np.array([0, 1, 2, 0]))])
    assert result.unbounded
    assert not fit_temperature(lambda: [(scores, np.array([0, 1, 2, 1]))]).unbounded


def test_empty_input_gives_nan() -> None:
    result = calibration(np.array([]), np.array([], dtype=bool))
    assert math.isnan(result.ece)
    assert not result.off
