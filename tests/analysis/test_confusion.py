"""Confusion matrices and intervals against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from camlucida.analysis.confusion import Confusion, wilson_interval
from camlucida.analysis.correct_vs_wrong import group_differences
from camlucida.evaluation.statistics import holm_correction


def random_predictions(n: int = 400, k: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    return labels, np.where(rng.random(n) < 0.7, labels, rng.integers(0, k, n))


def test_matches_scikit_learn() -> None:
    labels, text = random_predictions()
    result = Confusion.of(labels, text, [f"c{i}" for i in range(7)])
    np.testing.assert_array_equal(result.counts, confusion_matrix(labels, text))
    classes = {item.name: item for item in result.classes()}
    for i in range(7):
        of_class = classes[f"c{i}"]
        assert of_class.accuracy.value == pytest.approx(recall_score(labels, text, labels=[i], average=None)[0])
        assert of_class.precision == pytest.approx(precision_score(labels, text, labels=[i], average=None)[0])
    assert result.n_correct == (labels == text).sum()
    assert result.total == 400


def test_pairs_are_counted_and_ordered() -> None:
    labels = np.array([0] * 6 + [1] * 2 + [2] * 2)
    text = np.array([1, 1, 1, 0, 2, 2, 0, 0, 2, 2])
    pairs = Confusion.of(labels, text, ["a", "b", "c"]).pairs()
    assert [(p.label, p.predicted, p.count, p.total) for p in pairs] == [
        ("a", "b", 3, 6),
        ("b", "a", 2, 2),
        ("a", "c", 2, 6),
    ]


def test_unnamed_and_absent_classes() -> None:
    result = Confusion.of(np.array([0, 9]), np.array([4, 9]), ["zero"])
    assert result.names == ("zero", "class 4", "class 9")
    assert [item.name for item in result.classes()] == ["zero", "class 9"]


def test_block_holds_the_most_confused_classes() -> None:
    labels = np.repeat(np.arange(100), 5)
    text = labels.copy()
    text[labels == 17] = 83
    text[np.flatnonzero(labels == 83)[:4]] = 2
    text[np.flatnonzero(labels == 40)[:3]] = 41
    full = Confusion.of(labels, text, [str(i) for i in range(100)])
    block = full.block(5)
    assert set(block.names) == {"17", "83", "2", "40", "41"}
    assert abs(block.names.index("17") - block.names.index("83")) == 1
    for a in block.names:
        for b in block.names:
            inside = block.counts[block.names.index(a), block.names.index(b)]
            assert inside == full.counts[int(a), int(b)]
    assert full.block(100) is full
    assert len(full.block(4).names) <= 4


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (3, 7), (73, 119), (1, 1)])
def test_wilson_interval_matches_scipy(hits: int, n: int) -> None:
    result = wilson_interval(hits, n)
    reference = binomtest(hits, n).proportion_ci(method="wilson")
    assert (result.value, result.low, result.high) == pytest.approx(
        (hits / n, reference.low, reference.high), abs=1e-12
    )


def test_group_differences_of_known_data() -> None:
    rng = np.random.default_rng(3)
    correct = rng.random(300) < 0.6
    values = np.stack([rng.normal(0, 1, 300) + 1.0 * correct, rng.normal(0, 1, 300)], 1)
    values[:40, 0] = np.nan
    apart, even = group_differences(["apart", "even"], values, correct)
    known = ~np.isnan(values[:, 0])
    assert apart.right.value == pytest.approx(values[known & correct, 0].mean())
    assert apart.wrong.value == pytest.approx(values[known & ~correct, 0].mean())
    assert apart.difference.value == pytest.approx(apart.right.value - apart.wrong.value)
    assert apart.n == ((known & correct).sum(), (known & ~correct).sum())
    half = np.sqrt(values[known & correct, 0].var(ddof=1) / apart.n[0] + values[known & ~correct, 0].var() / apart.n[1])
    assert apart.difference.high - apart.difference.low == pytest.approx(2 * 1.96 * half, rel=0.1), "Welch's"
    assert apart.differs
    assert not even.differs
    assert [apart.corrected, even.corrected] == holm_correction([apart.p, even.p])


def test_no_test_with_too_few_errors() -> None:
    (result,) = group_differences(["x"], np.arange(20.0)[:, None], np.arange(20) > 2)
    assert np.isnan(result.p)
    assert not result.differs
