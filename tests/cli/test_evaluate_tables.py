"""The tables that `evaluate` prints: a default set of metrics that fits, and the controls set apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from camlucida.data import toybox


def test_default_metrics_in_one_table_with_the_controls_apart(run: Callable[..., Any]) -> None:
    code, out, _ = run("evaluate", "toybox", "--method", "cam,layer_cam", "--limit", "2")
    assert code == 0
    lines = out.splitlines()
    (head,) = [line for line in lines if line.split()[:1] == ["method"]]
    assert [word.strip("⚠") for word in head.split() if word.strip("⚠") not in ("method", "↑", "↓", "")] == [
        "energy",
        "pointing",
        "insertion",
        "deletion",
        "entropy",
    ]
    first = [line.split()[0] for line in lines if line.strip()]
    start = first.index("controls:")
    assert {"cam", "layer_cam"} <= set(first[:start])
    assert {"oracle", "random", "uniform", "centre"} <= set(first[start:])
    assert not {"oracle", "random", "uniform", "centre"} & set(first[:start])
    assert "Also measured, in results.parquet: energy_lift, insertion_logit, deletion_logit." in out


def test_metrics_without_boxes_are_left_out_of_the_default(run: Callable[..., Any]) -> None:
    for kind in ("cat", "dog"):
        folder = Path("shots") / kind
        folder.mkdir(parents=True)
        toybox.scene(3, kinds=[kind], size=64).picture().save(folder / f"{kind}.png")
    out = run("evaluate", "shots", "--model", "toybox", "--no-controls").out
    head = next(line for line in out.splitlines() if line.split()[:1] == ["method"])
    assert "energy" not in head
    assert "insertion" in head
    assert "controls" not in out
