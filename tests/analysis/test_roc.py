"""ROC curves equal those of scikit-learn, and DeLong's intervals cover the true area."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from camlucida.analysis.roc import roc_areas, roc_curve


def groups(seed: int, n: int = 300, shift: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.2
    return rng.normal(shift * positive, 1.0), positive


@pytest.mark.parametrize("ties", [False, True])
def test_areas_and_curves_equal_those_of_scikit_learn(ties: bool) -> None:
    scores, positive = groups(0)
    scores = np.round(scores) if ties else scores
    areas = roc_areas(np.stack([scores, -scores]), positive)
    expected = roc_auc_score(positive, scores)
    assert areas.areas == pytest.approx([expected, 1 - expected])
    x, y, _ = sklearn_roc_curve(positive, scores, drop_intermediate=False)
    assert roc_curve(scores, positive, 1000) == pytest.approx(np.column_stack([x, y]))
    points = roc_curve(scores, positive, 20)
    assert len(points) <= 20
    assert points[0] == pytest.approx([0, 0])
    assert points[-1] == pytest.approx([1, 1])
    assert abs(np.trapezoid(points[:, 1], points[:, 0]) - expected) < 0.02


def test_covariance_equals_a_loop() -> None:
    scores, positive = groups(1, 40)
    other = scores + np.random.default_rng(2).normal(size=40)
    both = np.stack([scores, other])
    first, second = both[:, positive], both[:, ~positive]
    above = np.array([[np.mean(v > row_second) for v in row] for row, row_second in zip(first, second, strict=True)])
    below = np.array([[np.mean(row > v) for v in row_second] for row, row_second in zip(first, second, strict=True)])
    expected = np.cov(above) / first.shape[1] + np.cov(below) / second.shape[1]
    assert roc_areas(both, positive).covariance == pytest.approx(expected)


def test_intervals_cover_the_true_area() -> None:
    truth = 0.7602499  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt(2))
    inside = []
    for seed in range(300):
        interval = roc_areas(groups(seed)[0][None], groups(seed)[1]).interval(0)
        inside.append(interval.low <= truth <= interval.high)
    assert 0.91 <= np.mean(inside) <= 0.98


def test_equal_scores_have_no_significant_difference() -> None:
    p = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        positive = rng.random(200) < 0.3
        p.append(roc_areas(rng.normal(0.7 * positive, 1.0, (2, 200)), positive).difference_p(0, 1))
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.09
    assert roc_areas(np.ones((2, 5)), np.arange(5) < 2).difference_p(0, 1) == 1.0


def test_one_group_is_empty() -> None:
    areas = roc_areas(np.zeros((1, 4)), np.zeros(4, dtype=bool))
    assert np.isnan(areas.interval(0).value)
