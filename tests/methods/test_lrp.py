"""Is LRP the papers', and does it add up? The rules themselves are tested in `tests/engine/backward/test_lrp.py`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.attribution.attributions import attributions
from camlucida.attribution.request import AttributionRequest
from camlucida.errors import MethodError
from camlucida.methods import find
from camlucida.models.model import Model

Make = Callable[..., nn.Module]

RULES = ["composite", "epsilon", "gamma", "z_plus"]


def reference(
    network: nn.Module, image: Tensor, k: int, rule: str, epsilon: float, gamma: float
) -> tuple[Tensor, float]:
    """(relevance of the pixels, what the biases and epsilon kept), layer by layer from matrices, for a `Stacked`."""
    layers = [*network.requires_grad_(False).features, *network.rest, *network.hidden]  # type: ignore[misc]
    values = [image[None]]
    for layer in layers:
        values.append(layer(values[-1].clone()).detach())
    relevance = torch.zeros_like(values[-1]).flatten()
    relevance[k] = values[-1][0, k]
    kept = 0.0
    for number, (layer, x) in reversed(list(enumerate(zip(layers, values, strict=False)))):
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        matrix = jacobian(layer, x).reshape(-1, x.numel())
        bias = layer(x).flatten() - matrix @ x.flatten()
        way = rule
        if rule == "composite":
            way = "flat" if number == 0 else "z_plus" if isinstance(layer, nn.Conv2d) else "epsilon"
        result = torch.zeros(x.numel(), dtype=x.dtype)
        for w, b, r in zip(matrix, bias, relevance, strict=True):
            parts, own = w * x.flatten(), b
            z = parts.sum() + own
            if way == "flat":
                parts, own = (w != 0).to(w), torch.zeros(())
            if way == "z_plus":
                parts, own = parts.clamp(min=0), own.clamp(min=0)
            if way == "gamma":
                parts, own = (t + gamma * t.where(t * z > 0, 0) for t in (parts, own))
            total = parts.sum() + own
            if way != "flat":  # the stabiliser keeps a share as a bias does
                own = own + (epsilon if total >= 0 else -epsilon)
                total = parts.sum() + own
            result, kept = result + parts / total * r, kept + float(own / total * r)
        relevance = result
    return relevance.view(image.shape), kept


@pytest.mark.parametrize("bias", [False, True], ids=["no biases", "biases"])
@pytest.mark.parametrize("rule", RULES)
def test_equals_the_reference(stacked: Make, images: Tensor, rule: str, bias: bool) -> None:
    network, options = stacked(bias=bias), {"rule": rule, "epsilon": 1e-12, "gamma": 0.3}
    for k in range(4):
        expected = [reference(network, image, k, rule, 1e-12, 0.3) for image in images]
        requested = (find("lrp"), options | {"reduce": "sum"})
        result = attributions(
            Model(network), images, AttributionRequest(targets=[k], layers=[None], methods=[requested])
        )
        ((((map_,),),), (((notes,),),)) = result.maps, result.notes
        assert_close(map_, torch.stack([relevance.sum(0) for relevance, _ in expected]))
        kept = torch.tensor([kept for _, kept in expected], dtype=torch.float64)
        assert_close(notes["completeness_gap"], -kept, rtol=1e-8, atol=1e-10)
        assert_close(map_.sum((1, 2)) - result.scores[0], -kept, rtol=1e-8, atol=1e-10)
        if not bias:
            assert_close(map_.sum((1, 2)), network(images)[:, k].detach(), rtol=1e-8, atol=1e-12)


def test_epsilon_is_input_times_gradient_without_biases(stacked: Make, images: Tensor) -> None:
    network = stacked(bias=False)
    result = attribute(network, images, target=1, method="lrp", rule="epsilon", epsilon=0.0)
    assert_close(result, attribute(network, images, target=1, method="input_x_gradient"))
    other = attribute(network, images, target=1, method="lrp", rule="z_plus")
    assert (other - result).abs().max() > 0.1 * result.abs().max()


def test_a_contrast_begins_with_both(stacked: Make, images: Tensor) -> None:
    one, other = (attribute(stacked(), images, target=k, method="lrp") for k in (2, 0))
    assert_close(attribute(stacked(), images, target="2 rather than 0", method="lrp"), one - other)


@pytest.mark.parametrize("join", ["max", "norm", "sum_abs"])
def test_colours(stacked: Make, images: Tensor, join: str) -> None:
    (relevance, _), (again, _) = (reference(stacked(), image, 1, "gamma", 1e-12, 0.25) for image in images)
    pixels = torch.stack([relevance, again])
    expected = {"max": pixels.abs().amax(1), "norm": pixels.norm(dim=1), "sum_abs": pixels.abs().sum(1)}[join]
    result = attribute(stacked(), images, target=1, method="lrp", rule="gamma", epsilon=1e-12, reduce=join)
    assert_close(result, expected)


def test_wrong_options(stacked: Make, images: Tensor) -> None:
    with pytest.raises(MethodError, match=r"rule is one of composite, epsilon, gamma, z_plus .*, not 'z\+'"):
        attribute(stacked(), images, method="lrp", rule="z+")
    with pytest.raises(MethodError, match="epsilon is a number of at least 0"):
        attribute(stacked(), images, method="lrp", epsilon=-1e-6)
