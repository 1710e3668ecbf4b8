"""Is XGrad-CAM the paper's, also where a channel's activations cancel?"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.methods.xgrad_cam import xgrad_cam


def reference(activations: Tensor, gradients: Tensor) -> Tensor:
    """w_k = sum_ij (A_ij / sum_ab A_ab) g_ij; L = sum_k w_k A^k, written out."""
    b, c, h, w = activations.shape
    a, g = activations.tolist(), gradients.tolist()
    positions = [(i, j) for i in range(h) for j in range(w)]
    result = torch.zeros(b, h, w, dtype=torch.float64)
    for n in range(b):
        for k in range(c):
            total = math.fsum(a[n][k][i][j] for i, j in positions)
            if total == 0:
                continue
            weight = math.fsum(a[n][k][i][j] / total * g[n][k][i][j] for i, j in positions)
            for i, j in positions:
                result[n, i, j] += weight * a[n][k][i][j]
    return result


def test_equals_the_reference(case: tuple[Tensor, Tensor]) -> None:
    assert_close(xgrad_cam(*case), reference(*case))


def test_equals_the_reference_on_a_network(
    stacked: Callable[..., nn.Module], images: Tensor, seen: Callable[..., tuple]
) -> None:
    network = stacked()
    activations, gradients, _ = seen(network, images, lambda o: o[:, 2])
    result = attribute(network, images, target=2, layer="features", method="xgrad_cam", signed=True)
    assert_close(result, reference(activations, gradients))


def test_by_hand() -> None:
    activations = torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]]]])
    gradients = torch.tensor([[[[8.0, -4.0]], [[5.0, 100.0]]]])
    # w = 1/4 * 8 - 3/4 * 4 = -1, and 5
    assert_close(xgrad_cam(activations, gradients), torch.tensor([[[9.0, -3.0]]]))


@pytest.mark.parametrize("k", range(4))
def test_adds_up_to_the_score_without_biases(stacked: Callable[..., nn.Module], images: Tensor, k: int) -> None:
    """The paper's conservation: exact for ReLU networks without biases."""
    network = stacked(bias=False)
    result = attribute(network, images, target=k, layer="features", method="xgrad_cam", signed=True)
    assert_close(result.sum((1, 2)), network(images)[:, k].detach())


def test_the_sum_is_that_of_gradient_times_activation(case: tuple[Tensor, Tensor]) -> None:
    assert_close(xgrad_cam(*case).sum((1, 2)), (case[0] * case[1]).sum((1, 2, 3)))


def test_channels_that_cancel_or_are_dead_have_zero_weight(case: tuple[Tensor, Tensor]) -> None:
    activations, gradients = case[0].clone(), case[1]
    activations[:, 0] = 0
    activations[:, 1] = torch.tensor([[1, -1, 1, -1], [0, 0, 0, 0], [2, 2, -2, -2]])
    result = xgrad_cam(activations, gradients)
    assert result.isfinite().all()
    assert_close(result, xgrad_cam(activations[:, 2:], gradients[:, 2:]))


def test_channels_that_cancel_but_for_rounding_have_zero_weight() -> None:
    activations = torch.tensor([[[[1.0, -1.0 + 1e-7]]]])  # the sum is one step of float32
    assert_close(xgrad_cam(activations, torch.tensor([[[[1.0, -1.0]]]])), torch.zeros(1, 1, 2))


def test_a_small_channel_is_not_a_dead_one() -> None:
    activations, gradients = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[8.0, -4.0]]]])
    assert_close(xgrad_cam(activations * 1e-9, gradients) * 1e9, xgrad_cam(activations, gradients))
