"""Opti-CAM: a reference implementation with autograd through everything, and the score that it says it reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.attribution.attributions import attributions
from camlucida.attribution.request import AttributionRequest
from camlucida.errors import MethodError
from camlucida.methods import find
from camlucida.models.model import Model

Make = Callable[..., nn.Module]


def found(network: nn.Module, images: Tensor, **how: Any) -> Tensor:
    requested: dict[str, Any] = {"target": 1, "layer": "features", "method": "opti_cam", "steps": 12} | how
    return attribute(network, images, **requested)


def stretched(maps: Tensor) -> Tensor:
    low, high = maps.amin(), maps.amax()
    return (maps - low) / (high - low)


def reference(network: nn.Module, image: Tensor, steps: int, rate: float) -> tuple[Tensor, list[float]]:
    """Adam written out (Kingma & Ba, algorithm 1), the whole network in the graph; the mix of the best step."""
    a = network.features(image[None])[0].detach()
    u, m, v, scores, mixes = torch.zeros(len(a), dtype=a.dtype), 0.0, 0.0, [], []
    for t in range(1, steps + 1):
        u = u.detach().requires_grad_()
        mix = sum(weight * channel for weight, channel in zip(u.softmax(0), a, strict=True))
        mask = stretched(F.interpolate(mix[None, None], size=image.shape[1:], mode="bilinear", align_corners=False))
        score = network(image[None] * mask)[0, 1]
        (g,) = torch.autograd.grad(score, u)
        scores.append(float(score.detach()))
        mixes.append(mix.detach())
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        u = u + rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    best = mixes[scores.index(max(scores))]
    return best - best.min(), scores


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_reference(stacked: Make, images: Tensor, rate: float) -> None:
    network = stacked()
    references = [reference(network, image, 12, rate) for image in images]
    assert_close(found(network, images, rate=rate), torch.stack([map_ for map_, _ in references]))
    assert any(scores.index(max(scores)) not in (0, 11) for _, scores in references) or rate < 0.5
    made = attributions(
        Model(network),
        images,
        AttributionRequest(targets=[1], layers=["features"], methods=[(find("opti_cam"), {"steps": 12, "rate": rate})]),
    )
    reached = torch.tensor([max(scores) for _, scores in references], dtype=torch.float64)
    assert_close(made.notes[0][0][0]["masked_score"], reached)
    assert (reached > torch.tensor([scores[0] for _, scores in references])).all()


def test_a_channel_on_the_object_wins_over_one_beside_it() -> None:
    """Two channels that each see one half, a score that the left half alone makes: the mix turns to the left."""

    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            x = self.features(x)
            return torch.stack([x[:, 0].mean((1, 2)), x[:, 1].mean((1, 2))], dim=1)

    image = torch.zeros(1, 2, 4, 8).double()
    image[:, 0, :, :4], image[:, 1, :, 4:] = 1, 1
    for target, side in ((0, slice(0, 4)), (1, slice(4, 8))):
        saliency = attribute(Halves(), image, target=target, layer="features", method="opti_cam", steps=40)
        assert_close(saliency[0, :, side].sum() / saliency.sum(), torch.tensor(1.0).double(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("steps", [0, -3, 2.5])
def test_steps_that_are_none(stacked: Make, images: Tensor, steps: float) -> None:
    with pytest.raises(MethodError, match="opti_cam: steps is an integer from 1"):
        found(stacked(), images, steps=steps)


def test_reports_progress(stacked: Make, images: Tensor) -> None:
    reported: list[tuple[int, int]] = []
    found(stacked(), images, progress=lambda done, total: reported.append((done, total)))
    assert reported == [(i + 1, 12) for i in range(12)]
