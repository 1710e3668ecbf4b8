"""Is the gradient the paper's, and do the ways to join colours do what they say?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError

Make = Callable[..., nn.Module]
STEP = 1e-6


def reference(network: nn.Module, images: Tensor, k: int) -> Tensor:
    """(b, c, H, W): how the score changes when one number of the image is moved a little, one at a time."""
    result = torch.zeros_like(images)
    with torch.no_grad():
        for index in torch.cartesian_prod(*(torch.arange(n) for n in images.shape)).tolist():
            up, down = images.clone(), images.clone()
            up[tuple(index)] += STEP
            down[tuple(index)] -= STEP
            b = index[0]
            result[tuple(index)] = (network(up)[b, k] - network(down)[b, k]) / (2 * STEP)
    return result


def test_equals_the_reference(stacked: Make, images: Tensor) -> None:
    network = stacked()
    gradients = reference(network, images, 2)
    assert_close(attribute(network, images, target=2, method="gradient"), gradients.abs().amax(1), rtol=1e-5, atol=1e-7)
    for join, expected in {
        "sum": gradients.sum(1),
        "sum_abs": gradients.abs().sum(1),
        "norm": (gradients[:, 0] ** 2 + gradients[:, 1] ** 2 + gradients[:, 2] ** 2).sqrt(),
    }.items():
        result = attribute(network, images, target=2, method="gradient", reduce=join)
        assert_close(result, expected, rtol=1e-5, atol=1e-7)


def test_of_a_linear_network_it_is_the_weights() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 2 * 2, 3)).double()
    result = attribute(network, torch.randn(1, 3, 2, 2).double(), target=1, method="gradient", reduce="sum")
    assert_close(result[0], network[1].weight[1].detach().reshape(3, 2, 2).sum(0))


def test_a_way_to_join_that_is_none(gap: Make, images: Tensor) -> None:
    with pytest.raises(MethodError, match=r"reduce is one of max, norm, sum, sum_abs .*, not 'max_abs'"):
        attribute(gap(), images, method="gradient", reduce="max_abs")
