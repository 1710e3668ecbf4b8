"""The comparison of `camlucida audit --against`: exit codes, files and errors."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from camlucida.audits.audit_result import Audit
from camlucida.audits.run import audit
from camlucida.cli.audit_comparison import check_comparison, compare_with
from camlucida.cli.exit_codes import CONDITION_HOLDS, DONE
from camlucida.cli.terminal import Terminal
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError
from camlucida.models.load import load


@pytest.fixture(scope="module")
def audits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, Audit]:
    data, folder = (
        ToyboxDataset(Toybox(30, variant="watermark", kinds=["boat", "cat"])),
        tmp_path_factory.mktemp("audits"),
    )
    return (
        audit(load("toybox"), data, folder / "old"),
        audit(load("toybox:cleverhans"), data, folder / "new"),
    )


def test_a_condition_that_holds_decides_the_exit_code(
    audits: tuple[Audit, Audit], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = audits
    junit, summary = tmp_path / "junit.xml", tmp_path / "summary.md"
    condition = "energy_in_box drops, p < .01"
    code = compare_with(Terminal(width=200), new, old.path, condition, junit, summary)
    text = capsys.readouterr().out
    assert code == CONDITION_HOLDS == 3
    assert f"FAILED: {condition}" in text
    assert "The model looks less at the object" in text
    assert str(junit) in text
    assert ElementTree.parse(junit).getroot().attrib["failures"] == "1"
    assert summary.read_text().startswith("### Explanations of toybox:cleverhans against toybox")
    stored = new.finding("comparison")
    assert stored is not None
    assert stored["conditions"][0]["holds"]
    assert compare_with(Terminal(width=200), old, old.path, condition) == DONE
    assert f"passed: {condition}" in capsys.readouterr().out


def test_without_conditions_the_comparison_is_printed(
    audits: tuple[Audit, Audit], capsys: pytest.CaptureFixture[str]
) -> None:
    console = Terminal(mode="json", command="audit")
    assert compare_with(console, audits[1], audits[0].path) == DONE
    console.finish(DONE)
    document = json.loads(capsys.readouterr().out)
    assert document["comparison"]["n_flips"] >= 0
    assert document["comparison"]["conditions"] == []


def test_wrong_options_are_reported_before_anything_runs(audits: tuple[Audit, Audit], tmp_path: Path) -> None:
    old = audits[0].path
    assert check_comparison(None, None, None, None) == []
    assert len(check_comparison(old, "accuracy drops; entropy rises", None, None)) == 2
    for options in ((None, "accuracy drops", None, None), (None, None, tmp_path / "j.xml", None)):
        with pytest.raises(DataError, match="needs --against"):
            check_comparison(*options)
    with pytest.raises(DataError, match="one test case per condition"):
        check_comparison(old, None, tmp_path / "j.xml", None)
    with pytest.raises(DataError, match="has no verb"):
        check_comparison(old, "accuracy", None, None)
    with pytest.raises(DataError, match="no column 'acuracy'"):
        check_comparison(old, "acuracy drops", None, None)
    with pytest.raises(DataError, match="contains no audit"):
        check_comparison(tmp_path, "accuracy drops", None, None)
