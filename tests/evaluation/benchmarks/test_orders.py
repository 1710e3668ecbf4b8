"""T0: with known ground truth, the oracle outperforms the method, and the method the uninformative baselines."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import camlucida as cl
from camlucida.data.datasets import ToyboxDataset, folder
from camlucida.data.toybox import Toybox
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.baselines import standard_controls
from camlucida.evaluation.benchmarks import open_benchmark
from camlucida.evaluation.metric_checks import mark_importance, untrusted
from camlucida.metrics import MetricOutput
from camlucida.metrics import registry as metric_registry


@pytest.fixture(scope="module")
def toybox(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Return an evaluation of 60 scenes with the default network."""
    return evaluate(
        "toybox",
        ToyboxDataset(Toybox(60, seed=11)),
        methods=["grad_cam"],
        metrics=["energy", "pxap", "auroc", "relevance_rank", "box_iou", "average_drop"],
        controls=standard_controls(),
        target="true",
        out=tmp_path_factory.mktemp("toybox"),
    )


@pytest.mark.parametrize("metric", ["pxap", "energy"])
def test_oracle_grad_cam_centre_random(toybox: Evaluation, metric: str) -> None:
    summaries = [toybox.summary(metric, name) for name in ("oracle", "grad_cam", "centre", "random")]
    assert summaries[0].value == pytest.approx(1)
    for better, worse in pairwise(summaries):
        assert better.low > worse.high, f"{better} and {worse}"


def test_only_metrics_that_rank_the_oracle_first_are_trusted(toybox: Evaluation) -> None:
    reasons = untrusted(toybox)
    assert set(reasons) & {"energy", "energy_lift", "pxap", "auroc", "relevance_rank", "box_iou"} == set()
    assert "does not rank the oracle above fake_cam" in reasons["average_drop"]


def test_a_metric_with_the_wrong_sign_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def negated_energy(display_map: object, region: object) -> float:
        """Return the negated energy."""
        return -metric_registry.metrics()["energy"].function(display_map, region)["energy"]

    monkeypatch.setattr(metric_registry, "_metrics", dict(metric_registry._metrics))
    metric_registry.metric(paper="none", outputs=MetricOutput("high", worst=-1.0))(negated_energy)
    evaluation = evaluate(
        "toybox",
        ToyboxDataset(Toybox(10)),
        methods=[],
        metrics=["negated_energy"],
        controls=standard_controls(),
        out=tmp_path,
    )
    assert untrusted(evaluation)["negated_energy"] == (
        "does not rank the oracle above blurred_random, uniform, centre, fake_cam, inverted_oracle; "
        "ranks the inverted oracle above uniform, centre"
    )


def test_no_metric_is_untrusted_without_exact_masks(tmp_path: Path) -> None:
    scenes = ToyboxDataset(Toybox(3))
    for i in range(3):
        scenes[i].image.save(tmp_path / f"{i}.png")  # type: ignore[union-attr]
    table = ["file,x0,y0,x1,y1", *(f"{i}.png,{','.join(map(str, scenes[i].boxes[0]))}" for i in range(3))]
    (tmp_path / "boxes.csv").write_text("\n".join(table))
    data = folder(tmp_path, tmp_path / "boxes.csv")
    evaluation = evaluate("toybox", data, metrics=["energy"], controls=standard_controls(), out=tmp_path / "run")
    assert untrusted(evaluation) == {}
    alone = evaluate("toybox", scenes, metrics=["energy"], out=tmp_path / "alone")
    assert untrusted(alone) == {}, "without controls, nothing is checked"


@pytest.mark.parametrize("name", ["red", "signed", "channels", "template"])
def test_localisation_is_trusted_on_designed_networks(name: str, tmp_path: Path) -> None:
    model, data = open_benchmark(name, count=30)
    evaluation = evaluate(
        model,
        data,
        methods=["cam"],
        metrics=["energy", "pxap", "auroc", "relevance_rank", "pointing"],
        controls=standard_controls(),
        target="true",
        out=tmp_path,
    )
    # The object is scattered over the image, so that the pointing game's tolerance of 15 pixels always hits it.
    assert set(untrusted(evaluation)) == ({"pointing"} if name == "channels" else set())


def test_mark_importance_of_the_network_that_learnt_it(tmp_path: Path) -> None:
    model = cl.load("toybox:cleverhans")
    runs = []
    for name in ("watermark", "watermark_control"):
        benchmark_model, data = open_benchmark(name, model, count=24)
        runs.append(evaluate(benchmark_model, data, metrics=["energy"], target="true", out=tmp_path / name))
    delta = mark_importance(runs[0], runs[1], "grad_cam")
    means = [float(np.mean(run.column("energy", "grad_cam").values)) for run in runs]
    assert delta.value == pytest.approx(means[0] - means[1], rel=1e-6)
    assert delta.low > 0.1
