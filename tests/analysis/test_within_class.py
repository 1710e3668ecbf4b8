"""Differences within classes: least squares, all permutations, and a mix of classes that must not matter."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from camlucida.analysis.within_class import within_class_difference


def test_the_difference_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 4, 200)
    correct = rng.random(200) < np.array([0.9, 0.5, 0.7, 1.0])[classes]
    values = classes + 0.5 * correct + rng.normal(size=200)
    values[5] = np.nan
    result = within_class_difference(values, correct, classes)
    known = ~np.isnan(values)
    design = np.column_stack([correct[known], *(classes[known] == c for c in range(4))]).astype(float)
    coefficients = np.linalg.lstsq(design, values[known], rcond=None)[0]
    assert result.difference.value == pytest.approx(coefficients[0])
    assert result.n_classes == 3  # the fourth has correct predictions only
    assert sum(result.n) == (known & (classes < 3)).sum()


def test_the_p_value_is_that_of_all_permutations() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=13)
    classes = np.array([0] * 7 + [1] * 6)
    correct = np.array([1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0], dtype=bool)
    first = {tuple(order) for order in permutations(correct[:7])}
    second = {tuple(order) for order in permutations(correct[7:])}
    sums = np.array([np.dot(a, values[:7]) + np.dot(b, values[7:]) for a in first for b in second])
    z = (np.dot(correct, values) - sums.mean()) / sums.std()
    result = within_class_difference(values, correct, classes)
    from scipy.stats import norm

    assert result.p == pytest.approx(2 * norm.sf(abs(z)))


def test_a_mix_of_classes_is_no_difference() -> None:
    """Class 1 is harder and has larger values; within a class, nothing differs."""
    p, covered = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        classes = rng.integers(0, 2, 150)
        correct = rng.random(150) < np.where(classes == 1, 0.5, 0.9)
        result = within_class_difference(3.0 * classes + rng.normal(size=150), correct, classes)
        p.append(result.p)
        covered.append(result.difference.low <= 0 <= result.difference.high)
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.09
    assert 0.9 <= np.mean(covered) <= 0.99


def test_no_class_with_both() -> None:
    result = within_class_difference(np.arange(4.0), np.array([1, 1, 0, 0], dtype=bool), np.array([0, 0, 1, 1]))
    assert result.n_classes == 0
    assert np.isnan(result.p)
