"""Which classes are taken for which, against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from camlucida.analysing.confusion import Confusion, wilson
from camlucida.analysing.contrasts import contrasts
from camlucida.evaluation.statistics import holm


def some(n: int = 400, k: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    return truth, np.where(rng.random(n) < 0.7, truth, rng.integers(0, k, n))


def test_it_is_scikit_learns() -> None:
    truth, said = some()
    found = Confusion.of(truth, said, [f"c{i}" for i in range(7)])
    np.testing.assert_array_equal(found.counts, confusion_matrix(truth, said))
    classes = {each.name: each for each in found.classes()}
    for i in range(7):
        of_class = classes[f"c{i}"]
        assert of_class.accuracy.value == pytest.approx(recall_score(truth, said, labels=[i], average=None)[0])
        assert of_class.precision == pytest.approx(precision_score(truth, said, labels=[i], average=None)[0])
    assert found.right == (truth == said).sum()
    assert found.total == 400


def test_pairs_are_counted_and_ordered() -> None:
    truth = np.array([0] * 6 + [1] * 2 + [2] * 2)
    said = np.array([1, 1, 1, 0, 2, 2, 0, 0, 2, 2])
    pairs = Confusion.of(truth, said, ["a", "b", "c"]).pairs()
    assert [(p.truth, p.said, p.count, p.total) for p in pairs] == [
        ("a", "b", 3, 6),
        ("b", "a", 2, 2),
        ("a", "c", 2, 6),
    ]


def test_a_class_without_a_name_and_one_never_seen() -> None:
    found = Confusion.of(np.array([0, 9]), np.array([4, 9]), ["zero"])
    assert found.names == ("zero", "class 4", "class 9")
    assert [each.name for each in found.classes()] == ["zero", "class 9"]


def test_the_block_of_many_classes_holds_what_is_confused_most() -> None:
    truth = np.repeat(np.arange(100), 5)
    said = truth.copy()
    said[truth == 17] = 83
    said[np.flatnonzero(truth == 83)[:4]] = 2
    said[np.flatnonzero(truth == 40)[:3]] = 41
    whole = Confusion.of(truth, said, [str(i) for i in range(100)])
    block = whole.block(5)
    assert set(block.names) == {"17", "83", "2", "40", "41"}
    assert abs(block.names.index("17") - block.names.index("83")) == 1
    for a in block.names:
        for b in block.names:
            inside = block.counts[block.names.index(a), block.names.index(b)]
            assert inside == whole.counts[int(a), int(b)]
    assert whole.block(100) is whole
    assert len(whole.block(4).names) <= 4


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (3, 7), (73, 119), (1, 1)])
def test_wilsons_interval_is_scipys(hits: int, n: int) -> None:
    found = wilson(hits, n)
    theirs = binomtest(hits, n).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((hits / n, theirs.low, theirs.high), abs=1e-12)


def test_right_beside_wrong_finds_what_is_there_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    correct = rng.random(300) < 0.6
    values = np.stack([rng.normal(0, 1, 300) + 1.0 * correct, rng.normal(0, 1, 300)], 1)
    values[:40, 0] = np.nan
    apart, even = contrasts(["apart", "even"], values, correct)
    known = ~np.isnan(values[:, 0])
    assert apart.right.value == pytest.approx(values[known & correct, 0].mean())
    assert apart.wrong.value == pytest.approx(values[known & ~correct, 0].mean())
    assert apart.difference.value == pytest.approx(apart.right.value - apart.wrong.value)
    assert apart.n == ((known & correct).sum(), (known & ~correct).sum())
    half = np.sqrt(values[known & correct, 0].var(ddof=1) / apart.n[0] + values[known & ~correct, 0].var() / apart.n[1])
    assert apart.difference.high - apart.difference.low == pytest.approx(2 * 1.96 * half, rel=0.1), "Welch's"
    assert apart.differs
    assert not even.differs
    assert [apart.corrected, even.corrected] == holm([apart.p, even.p])


def test_too_few_wrong_answers_are_no_test() -> None:
    (found,) = contrasts(["x"], np.arange(20.0)[:, None], np.arange(20) > 2)
    assert np.isnan(found.p)
    assert not found.differs
