"""Faithfulness metrics against grad-cam (ROAD) and torch-cam (average drop): equal numbers where settings are equal.

Known differences, and whose is right:
- grad-cam takes pixels below a percentile of the map, which is every pixel of a map that is mostly 0; ours takes so
  many as it says. Equal on maps without ties.
- grad-cam's noise is in units of the normalised input and drawn anew for every fraction; ours in units from black to
  white. Compared without noise.
- torch-cam stretches a map to 0..1 before it enlarges it; ours after. Equal on maps of the network's own size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.metrics import average_drop, road
from camlucida.metrics.common.imputation import impute
from camlucida.tasks import MULTICLASS

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

SIZE = (30, 40)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).eval()


def pictures(n: int) -> Tensor:
    return torch.randn(n, 3, *SIZE, generator=torch.Generator().manual_seed(1)) * 3


def asked(network: nn.Module, heat: Tensor, inputs: Tensor, target: int) -> dict[str, Any]:
    def predict(variants: Callable[[Tensor], Tensor], count: int) -> Tensor:
        with torch.no_grad():
            found: Tensor = network(variants(torch.arange(count)))
        return found

    with torch.no_grad():
        logits = network(inputs[None])[0]
    one = torch.ones(3, 1, 1)
    random = torch.Generator().manual_seed(0)
    return {
        "relevance": heat,
        "inputs": inputs,
        "logits": logits,
        "target": target,
        "pixel_scale": one,
        "black_level": -one,
        "predict": predict,
        "random": random,
        "activation": MULTICLASS,
    }


def test_imputation_is_grad_cams(network: nn.Module) -> None:
    theirs = pytest.importorskip("pytorch_grad_cam.metrics.road")
    inputs = pictures(1)[0]
    for share in (0.05, 0.5, 0.95):
        missing = torch.rand((1, *SIZE), generator=torch.Generator().manual_seed(2)) < share
        wanted = theirs.NoisyLinearImputer(noise=0)(inputs, (~missing[0]).float())
        assert_close(impute(inputs, missing)[0], wanted, rtol=1e-5, atol=1e-6)


def test_road_is_grad_cams_combined_without_noise(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = pytest.importorskip("pytorch_grad_cam.metrics.road")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    monkeypatch.setattr(theirs.NoisyLinearImputer.__init__, "__defaults__", (0.0, theirs.neighbors_weights))
    for seed, inputs in enumerate(pictures(3)):
        heat = torch.rand(SIZE, generator=torch.Generator().manual_seed(seed))
        combined = theirs.ROADCombined()(
            inputs[None], heat.numpy()[None], [targets.ClassifierOutputSoftmaxTarget(2)], network
        )
        evidence = asked(network, heat, inputs, 2)
        found = road(*(evidence[need] for need in road.needs), noise=0.0)["road_gap"].value
        assert found / 2 == pytest.approx(float(combined[0]), abs=2e-6)


class FakeCam:
    """A torch-cam extractor that hands out a given map."""

    def __init__(self, model: nn.Module, heat: Tensor) -> None:
        self.model, self.heat = model, heat

    def __call__(self, *args: Any, **options: Any) -> list[Tensor]:
        return [self.heat[None]]

    def fuse_cams(self, cams: list[Tensor]) -> Tensor:
        return cams[0]

    def _hooks_off(self) -> Any:
        return torch.no_grad()


def test_average_drop_is_torch_cams(network: nn.Module) -> None:
    theirs = pytest.importorskip("torchcam.metrics")
    drops, increases = [], []
    heats = torch.rand(5, *SIZE, generator=torch.Generator().manual_seed(3))
    heats -= heats.amin((1, 2), keepdim=True)
    heats /= heats.amax((1, 2), keepdim=True)
    found = []
    for target, (heat, inputs) in enumerate(zip(heats, pictures(5), strict=True)):
        metric = theirs.ClassificationMetric(FakeCam(network, heat), lambda logits: logits.softmax(1))
        metric.update(inputs[None], target)
        summary = metric.summary()
        drops.append(summary["avg_drop"])
        increases.append(summary["conf_increase"])
        evidence = asked(network, heat, inputs, target)
        found.append(average_drop(*(evidence[need] for need in average_drop.needs)))
    assert [f["average_drop"].value for f in found] == pytest.approx(drops, abs=1e-6)
    assert [f["average_increase"].value for f in found] == increases
    assert 0 < np.mean(increases) < 1  # both kinds were met
