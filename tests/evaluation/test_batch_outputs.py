"""An evaluation computes scores and maps of several images together: its rows are those of each image alone."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import camlucida as cl
from camlucida.data.datasets import Item, ListDataset
from camlucida.evaluation import Evaluation, batch_outputs, evaluate
from camlucida.evaluation.baselines import standard_controls
from camlucida.evaluation.plan import PART_IMAGES, Plan
from camlucida.evaluation.ray_engine import EvaluationWork
from camlucida.evaluation.store import Row, Store, read_table

EVALUATE = importlib.import_module("camlucida.evaluation.evaluate")  # the package has the function of this name
N_IMAGES = 12
CLASSES = ("a", "b", "c")
BLACK, BROKEN = 5, 9


class Failing(nn.Module):
    """A layer that cannot run on black images."""

    def forward(self, images: Tensor) -> Tensor:
        if bool((images.amax((1, 2, 3)) < -1).any()):
            raise RuntimeError("black")
        return images


def network(*layers: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        convolution, linear = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 3)
    return nn.Sequential(*layers, convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear).eval()


def model(*layers: nn.Module) -> cl.Model:
    return cl.wrap(network(*layers), size=12, labels=list(CLASSES))


def data(n: int = N_IMAGES) -> ListDataset:
    pixels = np.random.default_rng(0).integers(30, 256, (n, 12, 12, 3), dtype=np.uint8)
    if n > BROKEN:
        pixels[BLACK] = 0
    images: list[Any] = [Image.fromarray(values) for values in pixels]
    if n > BROKEN:
        images[BROKEN] = "missing.png"
    boxes = np.array([[2.0, 2, 8, 9]])
    items = [Item(image, f"{i}", label=i % 3, boxes=boxes) for i, image in enumerate(images)]
    return ListDataset("numbers", items, CLASSES)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of images whose maps were computed together."""
    recorded: list[int] = []
    plain = batch_outputs._explain

    def explain(plan: Plan, explainer: Any, images: Any, classes: Any) -> Any:
        maps = plain(plan, explainer, images, classes)
        recorded.append(len(images))
        return maps

    monkeypatch.setattr(batch_outputs, "_explain", explain)
    return recorded


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Evaluation]:
    """The function `evaluate`, image by image."""

    def run(*args: Any, **kwargs: Any) -> Evaluation:
        with monkeypatch.context() as patched:
            patched.setattr(EVALUATE, "evaluation_batch_size", lambda plan: 1)
            return evaluate(*args, **kwargs)

    return run


def rows_of(evaluation: Evaluation) -> list[Row]:
    rows: list[Row] = read_table(evaluation.path / "results.parquet").to_pylist()
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_same(rows: list[Row], expected: list[Row], rtol: float = 1e-5) -> None:
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        assert row.keys() == other.keys()
        for name, value in row.items():
            if isinstance(value, float) and isinstance(other[name], float):
                is_missing = math.isnan(value) and math.isnan(other[name])
                assert is_missing or math.isclose(value, other[name], rel_tol=rtol, abs_tol=1e-6), name
            elif isinstance(value, list) and isinstance(other[name], list):
                assert np.allclose(value, other[name], rtol=rtol, atol=1e-6, equal_nan=True), name
            else:
                assert value == other[name], name


REQUESTS: dict[str, dict[str, Any]] = {
    "methods": {"methods": ["grad_cam", "positive(layer_cam)", "gradient"], "metrics": ["energy", "entropy"]},
    "layers": {"methods": ["grad_cam"], "layer": ["0", "1"], "compared": [("grad_cam @ 0", "grad_cam @ 1")]},
    "true class": {"methods": ["hires_cam"], "target": "true", "seed": 3},
    "controls": {"methods": ["grad_cam"], "controls": standard_controls(), "metrics": ["energy"]},
    "many runs": {"methods": ["smooth(grad_cam, n=2)", "grad_cam"]},
    "curves": {"methods": ["grad_cam"], "metrics": ["deletion"]},
    "unknown layer": {"methods": ["grad_cam @ nowhere", "grad_cam"]},
}


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_the_rows_are_those_of_each_image_alone(
    name: str, sizes: list[int], alone: Callable[..., Evaluation], tmp_path: Path
) -> None:
    together = evaluate(model(Failing()), data(), out=tmp_path / "together", **REQUESTS[name])
    assert max(sizes) == PART_IMAGES
    sizes.clear()
    assert_same(rows_of(together), rows_of(alone(model(Failing()), data(), out=tmp_path / "alone", **REQUESTS[name])))
    assert sizes == []
    errors = {row["image"] or row["index"] for row in rows_of(together) if row["error"] and row["method"] is None}
    assert errors == {str(BLACK), str(BROKEN)}


def test_a_resumed_evaluation_is_that_of_one_run(tmp_path: Path) -> None:
    whole = evaluate(model(), data(20), methods=["grad_cam"], metrics=["energy"], out=tmp_path / "whole")
    first = rows_of(whole)
    parts = sorted((tmp_path / "whole" / "parts").iterdir())
    assert len(parts) == 3
    parts[1].unlink()
    assert rows_of(evaluate(model(), data(20), methods=["grad_cam"], metrics=["energy"], out=whole.path)) == first


def test_a_worker_of_ray_measures_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = evaluate(model(), data(20), methods=["grad_cam"], metrics=["energy"], out=tmp_path / "local")

    def on_ray(plan: Plan, store: Store, *_: Any) -> None:
        for number in plan.parts(PART_IMAGES):
            EvaluationWork(plan, store).run(number)

    monkeypatch.setattr(EVALUATE, "ray_pool", lambda *_: "pool")
    monkeypatch.setattr(EVALUATE, "measure_on_ray", on_ray)
    ray = evaluate(model(), data(20), methods=["grad_cam"], metrics=["energy"], engine="ray", out=tmp_path / "ray")
    assert rows_of(ray) == rows_of(local)


def test_progress_counts_images() -> None:
    calls: list[tuple[int, int]] = []
    evaluate(model(), data(20), methods=["grad_cam"], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(n, 20) for n in range(1, 21)]


def test_a_network_that_mixes_images_gets_them_alone(
    sizes: list[int], alone: Callable[..., Evaluation], tmp_path: Path
) -> None:
    mixing = nn.BatchNorm2d(3, track_running_stats=False)
    evaluation = evaluate(model(mixing), data(), methods=["grad_cam"], out=tmp_path / "together")
    assert sizes == []
    assert rows_of(evaluation) == rows_of(alone(model(mixing), data(), methods=["grad_cam"], out=tmp_path / "alone"))


def test_few_images_are_not_worth_a_measurement(sizes: list[int]) -> None:
    evaluate(model(), data(PART_IMAGES - 1), methods=["grad_cam"])
    assert sizes == []
