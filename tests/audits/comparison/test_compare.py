"""Comparison of two audits: what changed is counted as by hand, and written as XML and Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from camlucida.audits.audit_result import Audit
from camlucida.audits.comparison.compare import find_comparison
from camlucida.audits.comparison.conditions import check_conditions, parse_conditions
from camlucida.audits.comparison.matching import match_audits
from camlucida.audits.comparison.result import ALL, Comparison
from camlucida.audits.comparison.summary_files import junit_xml, markdown
from camlucida.audits.run import audit
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.models.load import load

from ..synthetic import synthetic_audit

N = 40


@pytest.fixture
def two(tmp_path: Path) -> tuple[Audit, Audit]:
    """Images 0-3 are regressions, 4-5 fixes; the maps of 10-12 differ; the energy of 20 drops; class dog shifts."""
    rng = np.random.default_rng(0)
    old: list[dict[str, Any]] = []
    for i in range(N):
        label = i % 2
        energy = 0.7 + 0.05 * rng.random()
        wrong = 4 <= i < 6
        old.append({"label_index": label, "predicted_index": (label + wrong) % 3, "energy_in_box": energy})
    new = [dict(row) for row in old]
    for i in range(4):
        new[i] |= {"predicted_index": 2, "confidence": 0.5 + 0.1 * i}
    for i in (4, 5):
        new[i]["predicted_index"] = i % 2
    for i in range(7, N, 2):
        new[i]["energy_in_box"] -= 0.1
    new[20]["energy_in_box"] -= 0.4
    maps = rng.random((N, 3, 4, 4))
    changed = maps.copy()
    changed[10:13] = 1 - changed[10:13]
    return (
        synthetic_audit(tmp_path / "old", old, maps={"grad_cam": maps}),
        synthetic_audit(tmp_path / "new", new, maps={"grad_cam": changed}),
    )


def test_changes_are_counted(two: tuple[Audit, Audit]) -> None:
    result = find_comparison(two[1], two[0])
    assert (result.n_regressions, result.n_fixes, result.n_flips) == (4, 2, 6)
    assert result.accuracy == pytest.approx((38 / 40, 36 / 40))
    assert result.mcnemar_p == pytest.approx(2 * sum([1, 6, 15]) / 64)
    assert [each.row for each in result.regressions] == [3, 2, 1, 0]  # the most confident first
    assert {each.row for each in result.fixes} == {4, 5}
    assert {each.row for each in result.different_reasons} == {10, 11, 12, 20}
    assert result.median_correlation == 1.0
    change = next(each for each in result.different_reasons if each.row == 10)
    assert change.map_correlation == pytest.approx(-1, abs=0.02)
    shift = next(each for each in result.shifts if (each.column, each.group) == ("energy_in_box", "dog"))
    assert shift.differs
    assert shift.difference.value == pytest.approx(-0.1, abs=0.02)
    assert shift.difference.low <= shift.difference.value <= shift.difference.high
    assert any("less at the object in class dog" in sentence for sentence in result.sentences())
    assert not any(each.differs for each in result.shifts if each.group == "cat")
    stored = json.loads(json.dumps(result.record(), allow_nan=False))
    assert Comparison.from_record(stored).record() == stored


def test_the_same_audit_has_no_change(two: tuple[Audit, Audit]) -> None:
    result = find_comparison(two[0], two[0].path)
    assert (result.n_regressions, result.n_fixes, result.n_flips, result.n_different_reasons) == (0, 0, 0, 0)
    assert not any(shift.differs for shift in result.shifts)
    assert result.sentences()[-1] == "No significant shift of the evidence."


def test_the_xml_has_a_case_per_condition(two: tuple[Audit, Audit]) -> None:
    conditions = parse_conditions("energy_in_box drops, p < .01; accuracy drops, p < .05")
    results = check_conditions(match_audits(*two), conditions)
    root = ElementTree.fromstring(junit_xml(find_comparison(two[1], two[0]), results))
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.attrib["tests"] == "2"
    assert suite.attrib["failures"] == "1"
    cases = suite.findall("testcase")
    assert [case.attrib["name"] for case in cases] == [condition.text for condition in conditions]
    assert "class dog" in (cases[0].find("failure").text or "")  # type: ignore[union-attr]
    assert cases[1].find("failure") is None
    assert {entry.attrib["name"] for entry in suite.iter("property")} >= {"old.model", "new.weights"}


def test_the_markdown_is_small_and_escaped(two: tuple[Audit, Audit]) -> None:
    results = check_conditions(match_audits(*two), parse_conditions("energy_in_box drops, p < .01"))
    text = markdown(find_comparison(two[1], two[0]), results)
    assert "**Failed:** 1 of 1 conditions hold." in text
    assert "class dog" in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert table[0] == "| | old | new | change (95 % interval) | corrected p | images |"
    assert all(line.count("|") == 7 for line in table)
    assert len(text.splitlines()) < 45
    same = check_conditions(match_audits(two[0], two[0]), parse_conditions("energy_in_box drops"))
    assert "**Passed.**" in markdown(find_comparison(two[0], two[0]), same)


def test_names_are_no_markup(tmp_path: Path) -> None:
    name = "a|b`<img src=x>@everyone\x07\n[x](http://y).png"
    old = synthetic_audit(tmp_path / "old", [{"image": name}] + [{} for _ in range(8)])
    new = synthetic_audit(tmp_path / "new", [{"image": name, "predicted_index": 2}] + [{} for _ in range(8)])
    result = find_comparison(new, old)
    results = check_conditions(match_audits(old, new), parse_conditions("confidence drops"))
    line = next(line for line in markdown(result, results).splitlines() if "everyone" in line)
    for part in ("|b", "`<", "<img", "@everyone", "\x07", "[x]("):
        assert part not in line.replace("\\" + part[0], "")
    ElementTree.fromstring(junit_xml(result, results))


def test_a_network_that_learnt_a_watermark_fails(tmp_path: Path) -> None:
    data = ToyboxDataset(Toybox(45, variant="watermark", kinds=["boat", "cat", "dog"]))
    old = audit(load("toybox"), data, tmp_path / "old")
    new = audit(load("toybox:cleverhans"), data, tmp_path / "new")
    condition = parse_conditions("energy_in_box drops, p < .01, by > .2")
    (result,) = check_conditions(match_audits(old, new), condition)
    assert {test.group for test in result.tests if test.holds} - {ALL} == {"boat"}
    assert any("less at the object in class boat" in sentence for sentence in result.sentences())
    again = audit(load("toybox"), data, tmp_path / "again", batch_size=5)
    (same,) = check_conditions(match_audits(old, again), parse_conditions("energy_in_box drops"))
    assert not same.holds
    assert same.tests[0].group == ALL
