"""Costs of metrics and methods in forward passes, as counted by `track_cost`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from torch import nn

import camlucida as cl
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.engine.cost import FORWARDS_WITH_GRADIENT, track_cost
from camlucida.evaluation import evaluate
from camlucida.metrics import metrics

OPTIONAL = ("saco", "aopc")
"""Metrics that are not in the standard report, but whose cost is included."""


def test_the_standard_report_takes_700_forwards_at_most(tmp_path: Path) -> None:
    evaluation = evaluate(
        "toybox",
        ToyboxDataset(Toybox(1, objects=2)),
        methods=["grad_cam"],
        metrics=list(metrics()),
        out=tmp_path / "run",
    )
    rows = pyarrow.parquet.read_table(evaluation.path / "results.parquet").to_pylist()
    assert not any(row.get("error") for row in rows)
    forwards_by_metric = {row["metric"]: row["forwards"] for row in rows if row["forwards"]}
    assert set(OPTIONAL) < set(forwards_by_metric)
    assert forwards_by_metric["explaining"] == FORWARDS_WITH_GRADIENT
    assert 500 < sum(forwards_by_metric.values()) <= 700


@pytest.mark.parametrize(
    ("method", "options", "forwards"),
    [
        ("eigen_cam", {}, 1),
        ("grad_cam", {}, FORWARDS_WITH_GRADIENT),
        ("integrated_gradients", {"steps": 10}, 2 + 10 * FORWARDS_WITH_GRADIENT),
        ("full_grad", {}, 1 + FORWARDS_WITH_GRADIENT),
        ("deep_lift", {}, 3 + FORWARDS_WITH_GRADIENT),
        ("lrp", {}, 1 + FORWARDS_WITH_GRADIENT),
        ("occlusion", {"window": 8, "stride": 4}, 1 + 9),
    ],
)
def test_methods_cost_what_they_run(method: str, options: dict[str, Any], forwards: float) -> None:
    """One forward finds the scores, another one those of a baseline; DeepLIFT runs its baseline once more."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()
    with track_cost() as cost:
        cl.attribute(network, torch.randn(2, 3, 16, 16), target=1, method=method, **options)
    assert cost.forwards / 2 == forwards
