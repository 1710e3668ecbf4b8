"""Benchmarks from the command line: what is typed is measured, and what cannot be trusted is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from camlucida.cli import main
from camlucida.data.open import open_dataset
from camlucida.errors import DataError
from camlucida.evaluation import Evaluation


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0)


def test_a_benchmark_brings_its_model_and_its_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert call("evaluate", "exact:channels", "--limit", "12", "--metrics", "energy,pointing", "-o", str(out)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "⚠ pointing is not to be trusted here: the truth is not told from" in printed
    assert "⚠ energy" not in printed
    assert "pointing ↑⚠" in printed
    found = Evaluation(out)
    assert found.plan["model"] == "exact:channels"
    assert found.plan["target"] == "label"
    assert len(found.controls) == 11


def test_a_benchmark_of_the_model_given(tmp_path: Path) -> None:
    out = tmp_path / "run"
    asked = (
        "exact:difull",
        "--model",
        "toybox",
        "--limit",
        "4",
        "--method",
        "hires_cam",
        "--metrics",
        "grid_pointing",
    )
    assert call("evaluate", *asked, "--no-controls", "-o", str(out)) == 0
    found = Evaluation(out)
    assert found.plan["model"] == "toybox in 2 x 2 cells (DiFull)"
    assert found.summary("grid_pointing", "hires_cam").value > 0.95
    assert call("report", str(out), "-o", str(tmp_path / "page.html")) == 0, "opened again from its name"


def test_invalid_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("evaluate", "exact:mosaik", "-o", str(tmp_path / "a")) != 0
    assert "no benchmark 'mosaik'. Did you mean 'mosaic'?" in " ".join(capsys.readouterr().err.split())
    assert call("evaluate", "exact:red", "--boxes", "b.csv", "-o", str(tmp_path / "b")) != 0
    assert "--boxes is only for folders" in " ".join(capsys.readouterr().err.split())


def test_a_benchmark_is_no_data_set_by_itself() -> None:
    with pytest.raises(DataError, match="open_benchmark"):
        open_dataset("exact:red")
