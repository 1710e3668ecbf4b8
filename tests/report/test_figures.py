"""The figures of the reports: forest plots, ROC curves, histograms, and the order of figures, sentences and tables."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from camlucida.analysis.confusion import Confusion
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.baselines import standard_controls
from camlucida.models.load import load
from camlucida.report import report
from camlucida.report.class_plot import class_plot
from camlucida.report.evaluation_page import page_content
from camlucida.report.forest_plot import MARGIN, ForestRow, forest_plot
from camlucida.report.gallery import _ranked_images
from camlucida.report.small_charts import RocCurve, roc_chart, stacked_histogram
from camlucida.report.thumbnails import ThumbnailRenderer

DATA = ToyboxDataset(Toybox(8, seed=1))
METRICS = ["energy", "pointing", "deletion", "entropy"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    controls = [control for control in standard_controls() if control.name in ("random", "centre", "oracle")]
    out = tmp_path_factory.mktemp("run") / "run"
    return evaluate("toybox", DATA, methods=["grad_cam", "layer_cam"], metrics=METRICS, controls=controls, out=out)


def position(svg: str, kind: str, attribute: str) -> float:
    match = re.search(rf'class="{kind}[^>]* {attribute}="([0-9.]+)%"', svg)
    assert match, (kind, svg)
    return float(match[1])


def at(fraction: float) -> float:
    return MARGIN + fraction * (100 - 2 * MARGIN)


def test_forest_plot_draws_values_to_scale() -> None:
    rows = [ForestRow("a", 0.5, 0.25, 0.75), ForestRow("b", 0.9, math.nan, math.nan, highlighted=True)]
    plot = forest_plot("x", rows, reference=0.4, reference_name="all", band=(0.1, 0.3), limits=(0.0, 1.0), percent=True)
    (_, first, value, interval), (_, second, _, none) = plot.rows
    assert position(first, "value", "cx") == pytest.approx(at(0.5), abs=0.01)
    assert position(first, "interval", "x1") == pytest.approx(at(0.25), abs=0.01)
    assert position(first, "interval", "x2") == pytest.approx(at(0.75), abs=0.01)
    assert position(first, "reference", "x1") == pytest.approx(at(0.4), abs=0.01)
    assert position(first, "baseline", "x") == pytest.approx(at(0.1), abs=0.01)
    assert (value, interval, none) == ("50 %", "25 to 75", "")
    assert "interval" not in second
    assert "differs" in second
    assert "all (40 %)" in plot.legend


def test_forest_plot_without_values_is_empty() -> None:
    plot = forest_plot("x", [ForestRow("a", math.nan, math.nan, math.nan)])
    assert plot.rows[0][2] == "–"
    assert "circle" not in plot.rows[0][1]


def test_axis_covers_all_values() -> None:
    plot = forest_plot("x", [ForestRow("a", -3.0, -5.0, 4.0)], reference=0.0)
    svg = plot.rows[0][1]
    assert MARGIN <= position(svg, "interval", "x1") < position(svg, "interval", "x2") <= 100 - MARGIN


def test_class_plot_begins_with_the_surest() -> None:
    counts = np.array([[2, 48, 0], [0, 0, 1], [0, 0, 50]])  # 4 % of 50, 0 % of 1, 100 % of 50
    plot = class_plot(Confusion(("many", "one", "good"), counts))
    assert [row.name for row, *_ in plot.rows] == ["many", "one", "good"]


def test_classes_with_few_images_are_not_listed():
    few = np.eye(9, dtype=int)
    assert class_plot(Confusion(tuple("abcdefghi"), few)) is None
    few[0, 1] = 4
    plot = class_plot(Confusion(tuple("abcdefghi"), few))
    assert plot is not None
    assert [row.name for row, *_ in plot.rows] == ["a"]
    assert plot.caption == "Accuracy by class (the 1 least accurate of 1 classes with 5 images or more)"


def test_roc_chart_draws_its_points() -> None:
    svg = roc_chart([RocCurve("confidence", [[0, 0], [0.5, 1.0], [1, 1]], "AUC 0.75")], "wrong predictions")
    points = re.search('points="([^"]+)"', svg)
    assert points
    (x0, y0), (x1, y1), (x2, y2) = [tuple(map(float, each.split(","))) for each in points[1].split()]
    assert x1 == pytest.approx((x0 + x2) / 2)
    assert y1 == y2 < y0
    assert "AUC 0.75" in svg


def test_histogram_counts_both_groups() -> None:
    values = np.array([0.01, 0.02, 0.99, np.nan, 0.5])
    svg = stacked_histogram(values, np.array([False, False, True, True, False]), "confidence")
    assert svg.count('class="right"') == 2
    assert svg.count('class="wrong"') == 1
    assert "3 correct and 1 wrong predictions" in svg
    assert "<title>2 correct, 0 to 0.05</title>" in svg


def test_reports_open_with_figures(run: Evaluation, tmp_path: Path) -> None:
    text = report(run, tmp_path / "page.html", model=load("toybox"), data=DATA).read_text(encoding="utf-8")
    order = ["<h1>", "examples", ">Higher is better<", ">Curves<", ">Summary<", ">Scores<", ">Small print<"]
    places = [text.index(each, text.index("<h1>")) for each in order]
    assert places == sorted(places)
    assert "<h1>grad_cam and layer_cam on toybox, toybox</h1>" in text
    summary = text[text.index(">Summary<") : text.index(">Scores<")]
    assert summary.split("<details>")[0].count("<li>") <= 5


def test_forest_plots_have_the_strongest_baseline(run: Evaluation) -> None:
    groups = page_content(run, None, {})["plots"]
    assert [group.direction for group in groups] == ["Higher is better", "Lower is better", "Descriptive"]
    plot = next(plot for plot in groups[0].displayed if plot.caption == "energy")
    baselines = {name: run.summary("energy", name) for name in ("random", "centre")}
    strongest = max(baselines, key=lambda name: baselines[name].value)
    assert f"Grey band: {strongest}, the strongest uninformative baseline" in plot.legend
    row, svg, *_ = plot.rows[0]
    assert row.value == run.summary("energy", row.name).value
    width = re.search(r'class="baseline"[^>]* width="([0-9.]+)%"', svg)
    assert width
    assert "entropy" in [plot.caption for plot in groups[2].folded], "descriptive numbers are folded"


def test_examples_are_best_median_and_worst(run: Evaluation) -> None:
    order = _ranked_images(run, "energy", ["grad_cam", "layer_cam"])
    values = {
        i: np.mean([dict(zip(c.index.tolist(), c.values.tolist(), strict=True))[i] for c in columns])
        for columns in [[run.column("energy", method) for method in ("grad_cam", "layer_cam")]]
        for i in order
    }
    assert [values[i] for i in order] == sorted(values.values(), reverse=True)
    rows = page_content(run, ThumbnailRenderer(run, load("toybox"), DATA), {})["examples"]
    names = [run.images[order[k]].name for k in (0, len(order) // 2, len(order) - 1)]
    assert [row["name"] for row in rows] == names
    assert [row["rank"] for row in rows] == ["Best", "Median", "Worst"]
    assert all(len(row["shots"]) == 3 for row in rows)
