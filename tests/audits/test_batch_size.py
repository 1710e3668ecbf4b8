"""The batch size follows from the bytes of the tensors that exist at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import camlucida as cl
from camlucida.attribution.batch_size import MAX_BATCH_SIZE, PeakMemory
from camlucida.audits.batch_size import batch_size_for, peak_bytes
from camlucida.audits.plan import AuditPlan
from camlucida.audits.run import audit
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, LayerError
from camlucida.evaluation.plan import explainers_of
from camlucida.models.load import load, wrap


def plan_of(model: cl.Model, methods: tuple[str, ...] = ("grad_cam",), layer: Any = None) -> AuditPlan:
    data = ToyboxDataset(Toybox(3))
    return AuditPlan(model, data, (0, 1, 2), tuple(range(len(data.classes))), explainers_of(methods, layer))


def test_peak_of_a_chain_of_operations() -> None:
    start = torch.zeros(100)
    with PeakMemory() as memory:
        a = start + 1  # 400 bytes
        b = a.double()  # 400 + 800
        del a
        c = b.view(10, 10).t()  # no memory
        c.add_(1)
        d = b.float()  # 800 + 400
        del b, c, d
        e = torch.zeros(50)
    assert memory.peak == 1200
    assert len(e) == 50


def test_peak_counts_what_the_backward_pass_keeps() -> None:
    values = torch.zeros(1000, requires_grad=True)
    with PeakMemory() as memory:
        result = values.sin().exp().sum()  # sin and exp are kept for the gradient
        kept = memory.peak
        result.backward()
    assert kept >= 8000
    assert memory.peak > kept


def test_the_batch_size_follows_from_the_budget() -> None:
    plan = plan_of(load("toybox"))
    inputs = torch.randn(1, 3, *plan.model.preprocessing.size)
    peak_bytes(plan, inputs)
    one, four = peak_bytes(plan, inputs), peak_bytes(plan, inputs.repeat(4, 1, 1, 1))
    per_image = (four - one) / 3
    sizes = [batch_size_for(plan, round(n * per_image)) for n in (2, 5, 10, 100)]
    assert sizes == [batch_size_for(plan, round(n * per_image)) for n in (2, 5, 10, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] <= 2
    assert sizes[-1] == MAX_BATCH_SIZE
    for n, size in zip((2, 5, 10), sizes[:3], strict=True):
        assert peak_bytes(plan, inputs.repeat(size, 1, 1, 1)) <= max(n, 1.5) * per_image
    assert batch_size_for(plan, 1) == 1


def test_slow_methods_are_not_measured() -> None:
    calls = 0

    class Counting(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            scores: torch.Tensor = images.mean((2, 3))
            return scores

    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), Counting()).eval()
    plan = plan_of(wrap(network, size=24), ("rise", "score_cam @ 1"))
    batch_size_for(plan)
    assert calls < 30  # RISE alone runs the network 1,000 times


def test_networks_that_take_one_image_get_one(tmp_path: Path) -> None:
    class One(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = images.mean((2, 3)).reshape(1, 3)
            return scores

    model = wrap(nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), One()).eval(), size=24)
    assert batch_size_for(plan_of(model)) == 1
    assert not any(row["error"] for row in audit(model, ToyboxDataset(Toybox(3)), tmp_path).rows)


def test_networks_that_mix_the_images_of_a_batch_get_one() -> None:
    layers = [nn.BatchNorm2d(3, track_running_stats=False), nn.Conv2d(3, 6, 3), nn.ReLU()]
    pooling = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)]
    assert batch_size_for(plan_of(wrap(nn.Sequential(*layers, *pooling).eval(), size=24))) == 1
    assert batch_size_for(plan_of(wrap(nn.Sequential(*layers[1:], *pooling).eval(), size=24))) == MAX_BATCH_SIZE


def test_the_first_readable_image_counts(tmp_path: Path) -> None:
    images = [Item(tmp_path / "missing.png", "missing.png"), Item(ToyboxDataset(Toybox(1))[0].image, "scene")]
    result = audit("toybox", ListDataset("two", images), tmp_path / "audit", max_bytes=1)
    assert result.plan["batch_size"] == 1
    assert [row["error"] is None for row in result.rows] == [False, True]
    broken = audit("toybox", ListDataset("one", images[:1]), tmp_path / "broken", max_bytes=1)
    assert broken.plan["batch_size"] == MAX_BATCH_SIZE


def test_the_stored_batch_size_is_kept(tmp_path: Path) -> None:
    data = ToyboxDataset(Toybox(3))
    assert audit("toybox", data, tmp_path, max_bytes=1).plan["batch_size"] == 1
    assert audit("toybox", data, tmp_path).plan["batch_size"] == 1
    with pytest.raises(DataError, match="another audit: batch_size is 1, not 2"):
        audit("toybox", data, tmp_path, batch_size=2)


@pytest.mark.parametrize(("layer", "message"), [("layer9", "no layer 'layer9'"), (["layer4", "-1"], "the same one")])
def test_wrong_layers_are_reported_first(tmp_path: Path, layer: Any, message: str) -> None:
    for options in ({}, {"batch_size": 2}):
        with pytest.raises(LayerError, match=message):
            audit("toybox", ToyboxDataset(Toybox(3)), tmp_path, layer=layer, **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
