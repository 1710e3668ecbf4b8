"""Calibration against its formula written out slowly, against scikit-learn, and against what must come out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from camlucida.analysing.calibration import calibration, tempered


def answers(n: int, seed: int = 0, off: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """How sure, and right as often as that less `off`."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(0.2, 1, n)
    return sure, rng.random(n) < sure - off


def slow_ece(sure: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
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
    sure, right = answers(700, off=0.1)
    found = calibration(sure, right)
    assert found.ece == pytest.approx(slow_ece(sure, right), abs=1e-12)
    assert found.gap == pytest.approx(sure.mean() - right.mean(), abs=1e-12)
    gaps = [abs(b.accuracy - b.confidence) for b in found.bins if b.count]
    assert found.largest == max(gaps)
    assert sum(b.count for b in found.bins) == 700


def test_a_bin_holds_its_upper_end_and_not_its_lower_one() -> None:
    found = calibration(np.array([0.2, 0.4, 1.0]), np.array([True, False, True]), bins=5)
    assert [b.count for b in found.bins] == [1, 1, 0, 0, 1]
    assert found.ece == pytest.approx((0.8 + 0.4 + 0.0) / 3)


def test_bins_are_those_of_scikit_learn() -> None:
    sure, right = answers(500)
    for ours, strategy in (("bins", "uniform"), ("adaptive_bins", "quantile")):
        made = [b for b in getattr(calibration(sure, right, bins=10), ours) if b.count]
        share, mean = calibration_curve(right, sure, n_bins=10, strategy=strategy)
        np.testing.assert_allclose([b.accuracy for b in made], share, atol=1e-12)
        np.testing.assert_allclose([b.confidence for b in made], mean, atol=1e-12)


def test_equally_sure_answers_have_no_order() -> None:
    sure = np.repeat([0.6, 0.9], 50)
    right = np.arange(100) % 3 == 0
    shuffled = np.random.default_rng(1).permutation(100)
    assert calibration(sure, right).adaptive == pytest.approx(
        calibration(sure[shuffled], right[shuffled]).adaptive, abs=1e-12
    )


def test_what_chance_alone_gives() -> None:
    """Of models that are right as often as they say one in twenty is called off; one 20 points off always is."""
    called = sum(calibration(*answers(150, seed)).off for seed in range(100))
    assert 0 <= called <= 12
    assert all(calibration(*answers(150, seed, off=0.2)).off for seed in range(20))


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_is_found_again(true: float) -> None:
    """Labels drawn from the softmax of scores; the scores are then told `true` times as large."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (4000, 6))
    chances = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    truth = np.array([rng.choice(6, p=row) for row in chances])
    scores = true * honest
    parts = [(scores[:1500], truth[:1500]), (scores[1500:], truth[1500:])]
    found = tempered(lambda: parts)
    assert found.temperature == pytest.approx(true, rel=0.05)

    def loss(temperature: float) -> float:
        scaled = np.exp(scores / temperature - (scores / temperature).max(1, keepdims=True))
        return float(log_loss(truth, scaled / scaled.sum(1, keepdims=True)))

    best = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-7})
    assert found.temperature == pytest.approx(best.x, rel=1e-4)
    assert found.loss == (pytest.approx(loss(1.0), abs=1e-9), pytest.approx(best.fun, abs=1e-9))
    scaled = np.exp(scores / best.x)
    sure = (scaled / scaled.sum(1, keepdims=True)).max(1)
    assert found.ece == pytest.approx(slow_ece(sure, scores.argmax(1) == truth), abs=1e-4)


def test_a_model_that_is_always_right_has_no_best_temperature() -> None:
    scores = np.eye(3)[[0, 1, 2, 0]] * 4
    found = tempered(lambda: [(scores, np.array([0, 1, 2, 0]))])
    assert found.endless
    assert not tempered(lambda: [(scores, np.array([0, 1, 2, 1]))]).endless


def test_nothing_gives_no_number() -> None:
    found = calibration(np.array([]), np.array([], dtype=bool))
    assert math.isnan(found.ece)
    assert not found.off
