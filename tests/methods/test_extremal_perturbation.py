"""Extremal perturbation: the mask, its area and its smoothness by slow sums; and a patch where there is only one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.attribution.attributions import attributions
from camlucida.attribution.request import AttributionRequest
from camlucida.data import toybox
from camlucida.errors import MethodError
from camlucida.methods import find
from camlucida.methods.common.area_masks import area_gradient, parameter_grid, smooth_mask
from camlucida.methods.common.infill import infill_image
from camlucida.models.load import load
from camlucida.models.model import Model


def test_the_smooth_maximum_per_position() -> None:
    """smax_v k(|u - v| / sigma) p_v with sigma = 21 pixels of 224, each position a loop over its neighbours."""
    size = (12, 20)
    rows, columns = parameter_grid(size)
    assert (rows, columns) == (12, 20)
    p = torch.rand(1, rows, columns, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sigma, expected = 21 / 224 * 12, torch.zeros(rows, columns, dtype=torch.float64)
    reach = 1 + math.ceil(sigma)
    for y in range(rows):
        for x in range(columns):
            near = []
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    there = p[0, min(max(y + dy, 0), rows - 1), min(max(x + dx, 0), columns - 1)]
                    near.append(float(there) * math.exp(-2 * max(0, math.hypot(dy, dx) / sigma - 0.5) ** 2))
            top = sum(math.exp(20 * value) for value in near)
            expected[y, x] = sum(value * math.exp(20 * value) for value in near) / top
    assert_close(smooth_mask(size)(p)[0], expected)


def test_a_photograph_has_a_parameter_every_seven_pixels() -> None:
    assert parameter_grid((224, 224)) == (32, 32)
    assert parameter_grid((224, 448)) == (32, 64)


@pytest.mark.parametrize("area", [0.1, 0.25])
def test_the_area_term_is_the_gradient_of_the_papers(area: float) -> None:
    mask = torch.rand(2, 8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    r = torch.zeros(40, dtype=torch.float64)
    r[40 - round(40 * area) :] = 1
    for done, weight in ((0.0, 300), (1.0, 4800)):
        away = -weight * (mask.flatten(1).sort(1).values - r).square().mean(1)
        (expected,) = torch.autograd.grad(away.sum(), mask)
        assert_close(area_gradient(mask, area, done), expected)


def test_equal_pixels_get_equal_masks() -> None:
    pull = area_gradient(torch.full((1, 10, 10), 0.5, dtype=torch.float64), 0.1, 0.0)
    assert_close(pull, torch.full_like(pull, 2 * 300 * (0.1 - 0.5) / 100))


class BrightRegion(nn.Module):
    """How bright a position is: row 6..11, column 16..21 of the image, or its opposite."""

    def forward(self, x: Tensor) -> Tensor:
        one, other = x[..., 6:12, 16:22].mean((1, 2, 3)), x[..., 22:28, 4:10].mean((1, 2, 3))
        return 30 * torch.stack([one, other], dim=1)


def test_finds_the_only_position_that_matters() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[..., ::2, ::2] = 1  # fine, so that a blur takes it away everywhere
    for target, (y, x) in ((0, (8.5, 18.5)), (1, (24.5, 6.5))):
        saliency = attribute(
            BrightRegion(), image, target=target, method="extremal_perturbation", areas=(0.06,), infill="mean"
        )[0]
        assert 0.04 < float(saliency.mean()) < 0.09
        share = saliency / saliency.sum()
        assert abs(float((share.sum(1) * torch.arange(32)).sum()) - y) < 1.5
        assert abs(float((share.sum(0) * torch.arange(32)).sum()) - x) < 1.5


def matched(values: list[float], r: Tensor) -> Tensor:
    """What r (ascending) has at each value's rank; the mean of it over equal values."""
    ranks = sorted(range(len(values)), key=lambda i: values[i])
    of: dict[float, list[float]] = {}
    for rank, i in enumerate(ranks):
        of.setdefault(round(values[i], 9), []).append(float(r[rank]))
    return torch.tensor([sum(of[round(v, 9)]) / len(of[round(v, 9)]) for v in values], dtype=torch.float64)


def reference(network: nn.Module, images: Tensor, area: float, steps: int) -> tuple[Tensor, Tensor]:
    """Adam on the whole objective, with the network, the blend and the sorting in one graph."""
    size, rate = (images.shape[2], images.shape[3]), 0.05
    p = torch.ones(len(images), *parameter_grid(size), dtype=torch.float64).requires_grad_()
    adam, cover = torch.optim.Adam([p], lr=rate, maximize=True), infill_image(images, "blur")
    r = torch.zeros(size[0] * size[1], dtype=torch.float64)
    r[round(len(r) * (1 - area)) :] = 1
    for step in range(steps):
        mask = smooth_mask(size)(p)
        score = network(mask[:, None] * images + (1 - mask[:, None]) * cover)[:, 1]
        away = torch.stack([(row - matched(row.tolist(), r)).square().mean() for row in mask.flatten(1)])
        adam.zero_grad()
        (score - 300 * 16 ** (step / steps) * away).sum().backward()
        adam.step()
        p.data.clamp_(0, 1)
    return mask.detach(), score.detach()


def test_reference(stacked: Any, images: Tensor) -> None:
    network = stacked()
    resized = F.interpolate(images, size=(6, 10))
    made = attributions(
        Model(network),
        resized,
        AttributionRequest(
            targets=[1],
            layers=[None],
            methods=[(find("extremal_perturbation"), {"steps": 9, "areas": (0.3,), "infill": "blur", "rate": 0.05})],
        ),
    )
    mask, score = reference(network, resized, 0.3, 9)
    assert_close(made.maps[0][0][0], mask)
    assert_close(made.notes[0][0][0]["masked_score"], score)


def test_several_areas_are_their_mean(stacked: Any, images: Tensor) -> None:
    network, reported = stacked(), []
    options: dict[str, Any] = {"target": 1, "method": "extremal_perturbation", "steps": 6}
    both = attribute(network, images, areas=(0.1, 0.4), progress=lambda *far: reported.append(far), **options)
    one, other = (attribute(network, images, areas=(area,), **options) for area in (0.1, 0.4))
    assert_close(both, (one + other) / 2)
    assert reported == [(i + 1, 12) for i in range(12)]


@pytest.mark.parametrize("areas", [0.1, (), (0.0,), (0.1, 1.0)])
def test_areas_that_are_none(stacked: Any, images: Tensor, areas: Any) -> None:
    with pytest.raises(MethodError, match="areas is a list of which each element is a number above 0 and below 1"):
        attribute(stacked(), images, method="extremal_perturbation", areas=areas)


@pytest.mark.slow
def test_the_map_is_on_the_object() -> None:
    """Mean energy inside the asked object, of two: far above the fraction of the image that objects have."""
    model, inside = load("toybox"), []
    for sample in list(toybox.Toybox(6, 1000, objects=2)):
        inputs, _ = model.preprocessing(sample.image)
        for label, mask in zip(sample.labels, sample.drawing.masks, strict=True):
            saliency = attribute(model, inputs[None], method="extremal_perturbation", target=int(label), steps=50)[0]
            inside.append(float(saliency[torch.from_numpy(mask.copy())].sum() / saliency.sum()))
    assert sum(inside) / len(inside) > 0.25, inside
