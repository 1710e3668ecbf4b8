"""Benchmarks on the command line: the model and target of each, and the warning about untrusted metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from camlucida.cli import main
from camlucida.data.open import open_dataset
from camlucida.errors import DataError
from camlucida.evaluation import Evaluation


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    return int(exit_.value.code or 0)


def test_a_benchmark_has_its_model_and_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert call("evaluate", "exact:channels", "--limit", "12", "--metrics", "energy,pointing", "-o", str(out)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "does not rank the oracle above" in printed
    assert "⚠ energy" not in printed
    assert "pointing ↑⚠" in printed
    evaluation = Evaluation(out)
    assert evaluation.plan["model"] == "exact:channels"
    assert evaluation.plan["target"] == "true"
    assert len(evaluation.controls) == 11


def test_a_benchmark_of_a_given_model(tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments_ = (
        "exact:difull",
        "--model",
        "toybox",
        "--limit",
        "4",
        "--method",
        "hires_cam",
        "--metrics",
        "gridpg",
    )
    assert call("evaluate", *arguments_, "--no-controls", "-o", str(out)) == 0
    evaluation = Evaluation(out)
    assert evaluation.plan["model"] == "toybox in 2 x 2 cells (DiFull)"
    assert evaluation.summary("grid_pointing", "hires_cam").value > 0.95
    assert call("report", str(out), "-o", str(tmp_path / "page.html")) == 0, "the benchmark is opened again by its name"


def test_invalid_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("evaluate", "exact:mosaik", "-o", str(tmp_path / "a")) != 0
    assert "no benchmark 'mosaik'. Did you mean 'mosaic'?" in " ".join(capsys.readouterr().err.split())
    assert call("evaluate", "exact:red", "--boxes", "b.csv", "-o", str(tmp_path / "b")) != 0
    assert "--boxes does not apply to exact:red" in " ".join(capsys.readouterr().err.split())


def test_a_benchmark_is_not_a_data_set() -> None:
    with pytest.raises(DataError, match="open_benchmark"):
        open_dataset("exact:red")
