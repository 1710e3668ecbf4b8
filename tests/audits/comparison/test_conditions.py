"""Conditions of a regression test: their language, what they find, and how often chance makes them hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, wilcoxon

from camlucida.audits.comparison.conditions import Condition, ConditionResult, check_conditions, parse_conditions
from camlucida.audits.comparison.matching import MatchedAudits, match_audits
from camlucida.audits.comparison.result import ALL
from camlucida.errors import DataError
from camlucida.evaluation.statistics import holm_correction

from ..synthetic import synthetic_audit

N = 60


def matched(folder: Path, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> MatchedAudits:
    return match_audits(synthetic_audit(folder / "old", old), synthetic_audit(folder / "new", new))


def energies(folder: Path, drops: dict[int, float], noise: float = 0.1, seed: int = 0) -> MatchedAudits:
    """Pairs of rows of three classes, whose energies differ by noise, and by a drop in some classes."""
    rng = np.random.default_rng(seed)
    old = [
        {"label_index": i % 3, "predicted_index": i % 3, "energy_in_box": 0.6 + 0.1 * rng.random()} for i in range(N)
    ]
    new = [
        row | {"energy_in_box": row["energy_in_box"] - drops.get(i % 3, 0.0) + noise * rng.normal()}
        for i, row in enumerate(old)
    ]
    return matched(folder, old, new)


def check(pairs: MatchedAudits, text: str) -> ConditionResult:
    (result,) = check_conditions(pairs, parse_conditions(text))
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("energy_in_box drops, p < .01", ("energy_in_box", "drops", 0.01, 0.01)),
        ("  accuracy   drops ", ("accuracy", "drops", 0.05, 0.0)),
        ("entropy changes,by>.05,p<1e-3", ("entropy", "changes", 0.001, 0.05)),
        ("accuracy drops, by > 5 %", ("accuracy", "drops", 0.05, 0.05)),
        ("grad_cam @ layer3.energy_in_box rises", ("grad_cam @ layer3.energy_in_box", "rises", 0.05, 0.01)),
        ("occlusion(window=8, stride=4).entropy drops", ("occlusion(window=8, stride=4).entropy", "drops", 0.05, 0.01)),
    ],
)
def test_conditions_are_parsed(text: str, expected: tuple[Any, ...]) -> None:
    assert parse_conditions(text) == [Condition(text.strip(), *expected)]
    assert len(parse_conditions(f"{text}; {text};")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no condition"),
        (" ; ", "no condition"),
        ("energy_in_box", "has no verb"),
        ("energy_in_box drop, p < .01", "Did you mean 'drops'"),
        ("drops, p < .01", "has no verb"),
        ("entropy drops, p > .01", "'p > .01' in .* is no limit"),
        ("entropy drops, p < 2", "p is a probability"),
        ("entropy drops, p < 0", "p is a probability"),
        ("entropy drops, p < .1, p < .2", "limits p twice"),
        ("entropy drops, p < 1-1", "is not a number"),
        ("entropy drops, by > -1", "at least 0"),
        ("entropy drops p < .01", "has no verb"),
    ],
)
def test_wrong_conditions_are_explained(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_conditions(text)


def test_a_drop_in_one_class_is_found(tmp_path: Path) -> None:
    result = check(energies(tmp_path, {2: 0.3}), "energy_in_box drops, p < .01")
    assert {test.group for test in result.tests if test.holds} >= {"boat"}
    assert not any(test.holds for test in result.tests if test.group in ("cat", "dog"))
    sentence = next(text for text in result.sentences() if "boat" in text)
    assert sentence.startswith("The model looks less at the object in class boat: energy_in_box falls from 0.6")
    assert "20 images" in sentence
    assert not check(energies(tmp_path / "2", {2: 0.3}), "energy_in_box rises, p < .01").holds
    assert check(energies(tmp_path / "3", {2: 0.3}), "energy_in_box changes, p < .01").holds


def test_by_is_a_smallest_change(tmp_path: Path) -> None:
    pairs = energies(tmp_path, {0: 0.1, 1: 0.1, 2: 0.1}, noise=0.01)
    assert check(pairs, "energy_in_box drops, p < .01, by > .05").holds
    assert not check(pairs, "energy_in_box drops, p < .01, by > .12").holds
    (test,) = [test for test in check(pairs, "energy_in_box drops, by > .1").tests if test.group == "cat"]
    assert test.p_corrected > 0.05  # the drop is 0.1, not more


def test_p_values_equal_those_of_scipy(tmp_path: Path) -> None:
    pairs = energies(tmp_path, {2: 0.05})
    result = check(pairs, "energy_in_box drops")
    values = pairs.paired("energy_in_box")
    raw = {ALL: values.differences} | {name: values.of(name).differences for name in ("boat", "cat", "dog")}
    p = {name: wilcoxon(differences + 0.01, alternative="less").pvalue for name, differences in raw.items()}
    worst = min(p, key=lambda name: p[name])
    assert {test.group for test in result.tests} == set(p)
    assert next(test for test in result.tests if test.group == worst).p_corrected == pytest.approx(4 * p[worst])


def test_a_change_in_either_direction_by_more_than_a_limit() -> None:
    differences = np.random.default_rng(0).normal(0.06, 0.05, 20)
    p = Condition("", "entropy", "changes", by=0.02).test(differences)
    assert p == pytest.approx(2 * wilcoxon(differences - 0.02, alternative="greater").pvalue)
    assert Condition("", "entropy", "changes", by=0.0).test(differences) == pytest.approx(wilcoxon(differences).pvalue)
    assert Condition("", "entropy", "drops", by=0.02).test(differences) > 0.5


def test_accuracy_is_tested_exactly(tmp_path: Path) -> None:
    old = [{"label_index": 0, "predicted_index": 0} for _ in range(20)]
    new = [{"label_index": 0, "predicted_index": int(i < 6)} for i in range(20)]
    result = check(matched(tmp_path, old, new), "accuracy drops, p < .05")
    (test,) = result.tests  # a single class is not tested twice
    assert test.p_corrected == pytest.approx(binom.pmf(6, 6, 0.5))
    assert result.sentences() == [
        "The model is less often correct: accuracy falls from 1 to 0.7 (corrected p = 0.016, 20 images)."
    ]


def test_small_changes_in_one_direction_do_not_hold(tmp_path: Path) -> None:
    """As by rounding of the weights: all differences are below 0.01, and most are negative."""
    pairs = energies(tmp_path, {0: 0.003, 1: 0.003, 2: 0.003}, noise=0.001)
    assert not check(pairs, "energy_in_box drops").holds
    assert check(pairs, "energy_in_box drops, by > 0").holds


def test_no_change_never_holds(tmp_path: Path) -> None:
    result = check(energies(tmp_path, {}, noise=0.0), "energy_in_box changes, p < 1")
    assert not result.holds
    assert all(test.p_corrected == 1 for test in result.tests)
    assert "is the same" in result.tests[0].sentence("energy_in_box")


def test_chance_holds_at_most_as_often_as_p(tmp_path: Path) -> None:
    """Old and new are exchanged at random for each image."""
    pairs = energies(tmp_path, {0: 0.1, 2: 0.3})
    values, rng = pairs.paired("energy_in_box"), np.random.default_rng(0)
    condition = Condition("", "energy_in_box", "drops", by=0.0)
    alarms = []
    for _ in range(200):
        differences = values.differences * rng.choice([-1, 1], N)
        groups = [differences, *(differences[values.groups == name] for name in ("boat", "cat", "dog"))]
        alarms.append(min(holm_correction([condition.test(each) for each in groups])) < 0.05)
    assert np.mean(alarms) <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


def test_what_cannot_be_tested_is_an_error(tmp_path: Path) -> None:
    pairs = matched(tmp_path, [{} for _ in range(8)], [{} for _ in range(8)])
    with pytest.raises(DataError, match="needs boxes or masks"):
        check(pairs, "energy_in_box drops")
    with pytest.raises(DataError, match=r"no column 'entrpy' to compare. Did you mean 'entropy'"):
        check(pairs, "entrpy drops")
    few = matched(tmp_path / "few", [{"entropy": 0.1}] * 3, [{"entropy": 0.2}] * 3)
    with pytest.raises(DataError, match="3 images have values in both audits, and at least 6"):
        check(few, "entropy drops")
