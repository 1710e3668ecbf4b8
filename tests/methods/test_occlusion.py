"""Occlusion against a reference implementation, and against what a linear model must give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError
from camlucida.methods.common.infill import infill_image


class Linear(nn.Module):
    """One weight per value of the image, for each of 3 classes, and an offset."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.tensor([0.5, -2.0, 7.0]).to(weight))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", x, self.weight) + self.bias


@pytest.fixture
def linear(numbers: Callable[..., Tensor]) -> Linear:
    return Linear(numbers(3, 3, 6, 10, seed=7))


def reference(network: nn.Module, image: Tensor, side: int, step: int, cover: Tensor, target: int) -> Tensor:
    """One window after the other, one pixel after the other."""
    _, height, width = image.shape
    tops, lefts = [], []
    for starts, length in ((tops, height), (lefts, width)):
        start = 0
        while start + side < length:
            starts.append(start)
            start += step
        starts.append(length - side)
    whole = network(image[None])[0, target]
    total, times = torch.zeros(height, width).double(), torch.zeros(height, width).double()
    for top in tops:
        for left in lefts:
            covered = image.clone()
            for y in range(top, top + side):
                for x in range(left, left + side):
                    covered[:, y, x] = cover[:, y, x]
            drop = (whole - network(covered[None])[0, target]).detach()
            for y in range(top, top + side):
                for x in range(left, left + side):
                    total[y, x] += drop
                    times[y, x] += 1
    return total / times


@pytest.mark.parametrize(("window", "stride"), [(3, 2), (2, 2), (4, 1), (1, 1), (6, 6), (5, 3)])
@pytest.mark.parametrize("infill", ["mean", "blur"])
def test_reference(stacked: Callable[..., nn.Module], images: Tensor, window: int, stride: int, infill: str) -> None:
    network = stacked()
    result = attribute(network, images, method="occlusion", target=1, window=window, stride=stride, infill=infill)
    covers = infill_image(images, infill)
    for image, cover, map_ in zip(images, covers, result, strict=True):
        assert_close(map_, reference(network, image, window, stride, cover, 1))


def test_linear_model_gives_weight_times_value(linear: Linear, images: Tensor) -> None:
    result = attribute(linear, images, method="occlusion", target=2, window=1, stride=1)
    assert_close(result, (linear.weight[2] * images).sum(1).detach())


def test_windows_side_by_side_add_up_on_a_linear_model(linear: Linear, images: Tensor) -> None:
    """Each pixel of a window carries the whole window's fall: the falls of all windows are f(x) - f(0)."""
    result = attribute(linear, images, method="occlusion", target=0, window=2, stride=2)
    drops = result[:, ::2, ::2].sum((1, 2))
    assert_close(drops, (linear(images) - linear(images * 0))[:, 0].detach())


def test_fractions_of_the_shorter_side(linear: Linear, images: Tensor) -> None:
    shares = attribute(linear, images, method="occlusion", target=0, window=0.5, stride=0.17)
    assert_close(shares, attribute(linear, images, method="occlusion", target=0, window=3, stride=1))


def test_a_window_larger_than_the_image_covers_the_shorter_side(linear: Linear, images: Tensor) -> None:
    result = attribute(linear, images, method="occlusion", target=0, window=99, stride=99)
    assert result.shape == (2, 6, 10)
    assert result.isfinite().all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"window": 2, "stride": 3}, "leaves gaps between windows of 2"),
        ({"window": 0}, "window is a number above 0 .*, not 0"),
        ({"stride": -1}, "not -1"),
        ({"infill": "blurr"}, "infill is one of mean, blur .*, not 'blurr'. Did you mean 'blur'"),
    ],
)
def test_refuses(linear: Linear, images: Tensor, options: dict[str, Any], says: str) -> None:
    with pytest.raises(MethodError, match=says):
        attribute(linear, images, method="occlusion", **options)
