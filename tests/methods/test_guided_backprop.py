"""Are guided backpropagation, deconvolution and guided Grad-CAM the papers'?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError

Make = Callable[..., nn.Module]


def reference(network: nn.Module, images: Tensor, k: int, *, guided: bool) -> Tensor:
    """Back through `Stacked`, layer by layer with its own weights: what comes to a ReLU passes where positive."""
    first, second = network.features[0], network.rest[0]  # type: ignore[index]
    third, last = network.hidden[0], network.hidden[2]  # type: ignore[index]
    result = []
    with torch.no_grad():
        for image in images:
            a = first(image[None])
            b = second(a.relu())
            c = third(b.relu().flatten(1))
            back = cut(last.weight[k][None], c, guided) @ third.weight
            back = cut(back.reshape_as(b), b, guided)
            spare = [(n - 3) % 2 for n in a.shape[2:]]
            back = F.conv_transpose2d(back, second.weight, stride=2, output_padding=spare)
            back = cut(back, a, guided)
            result.append(F.conv_transpose2d(back, first.weight, stride=2, padding=1, output_padding=1)[0])
    return torch.stack(result)


def cut(back: Tensor, before: Tensor, guided: bool) -> Tensor:
    passed = torch.where(back > 0, back, 0)
    return torch.where(before > 0, passed, 0) if guided else passed


@pytest.mark.parametrize(("method", "guided"), [("guided_backprop", True), ("deconvnet", False)])
def test_equal_the_reference(stacked: Make, images: Tensor, method: str, guided: bool) -> None:
    network = stacked()
    for k in range(4):
        expected = reference(network, images, k, guided=guided)
        assert_close(attribute(network, images, target=k, method=method), expected.abs().amax(1))
        assert_close(attribute(network, images, target=k, method=method, reduce="sum"), expected.sum(1))


def test_guided_grad_cam_is_their_product(stacked: Make, images: Tensor) -> None:
    network = stacked()
    cam = attribute(network, images, target=1, layer="features")
    large = F.interpolate(cam[:, None], size=(6, 10), mode="bilinear", align_corners=False)[:, 0]
    gradients = reference(network, images, 1, guided=True)
    result = attribute(network, images, target=1, layer="features", method="guided_grad_cam")
    assert_close(result, (gradients * large[:, None]).abs().amax(1))
    result = attribute(network, images, target=1, layer="features", method="guided_grad_cam", reduce="sum")
    assert_close(result, (gradients * large[:, None]).sum(1))
    assert large.max() > 0


def test_guided_grad_cam_at_several_layers(stacked: Make, images: Tensor) -> None:
    result = attribute(stacked(), images, target=1, layer=["features", "rest.1"], method="guided_grad_cam")
    assert {name: tuple(map_.shape) for name, map_ in result.items()} == {"features": (2, 6, 10), "rest.1": (2, 6, 10)}
    assert (result["features"] - result["rest.1"]).abs().max() > 0


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet", "guided_grad_cam"])
def test_a_network_without_relus(method: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(MethodError, match=r"has none\. Use gradient or integrated_gradients"):
        attribute(network, torch.zeros(1, 3, 8, 8), target=0, method=method)
