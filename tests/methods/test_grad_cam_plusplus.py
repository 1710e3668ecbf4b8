"""Is Grad-CAM++ the paper's, also where its denominators vanish?"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.methods.grad_cam_plusplus import grad_cam_plusplus


def reference(activations: Tensor, gradients: Tensor) -> Tensor:
    """alpha_ij = g^2 / (2 g^2 + sum_ab A_ab g^3), w = sum_ij alpha_ij ReLU(g), L = sum_k w_k A^k, written out."""
    b, c, h, w = activations.shape
    a, g = activations.tolist(), gradients.tolist()
    positions = [(i, j) for i in range(h) for j in range(w)]
    result = torch.zeros(b, h, w, dtype=torch.float64)
    for n in range(b):
        for k in range(c):
            total = math.fsum(a[n][k][i][j] for i, j in positions)
            weight = 0.0
            for i, j in positions:
                gradient = g[n][k][i][j]
                below = 2 * gradient**2 + total * gradient**3
                alpha = gradient**2 / below if below else 0.0
                weight += alpha * max(gradient, 0.0)
            for i, j in positions:
                result[n, i, j] += weight * a[n][k][i][j]
    return result


def test_equals_the_reference(case: tuple[Tensor, Tensor]) -> None:
    assert_close(grad_cam_plusplus(*case), reference(*case))


def test_equals_the_reference_on_a_network(
    stacked: Callable[..., nn.Module], images: Tensor, seen: Callable[..., tuple]
) -> None:
    network = stacked()
    activations, gradients, _ = seen(network, images, lambda o: o[:, 1])
    result = attribute(network, images, target=1, layer="features", method="grad_cam_plusplus", signed=True)
    assert_close(result, reference(activations, gradients))


def test_by_hand() -> None:
    activations = torch.tensor([[[[1.0, 0.0], [2.0, 1.0]]]])  # sums to 4
    gradients = torch.tensor([[[[1.0, -2.0], [0.0, 0.5]]]])
    # alpha = 1 / (2 + 4 g): 1/6 at g = 1, nothing at g = 0 and below, 1/4 at g = 1/2; w = 1/6 + 1/8 = 7/24
    assert_close(grad_cam_plusplus(activations, gradients), activations[:, 0] * 7 / 24)


def test_the_sum_is_over_the_whole_map_and_not_per_position() -> None:
    """The mistake of several libraries: sum_ab (A_ab g_ab^3) for (sum_ab A_ab) g_ij^3."""
    activations = torch.tensor([[[[0.0, 6.0]]]])
    gradients = torch.tensor([[[[1.0, 0.0]]]])
    assert_close(grad_cam_plusplus(activations, gradients), activations[:, 0] / 8)


@pytest.mark.parametrize(
    ("activations", "gradients"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]),
        ([[0.0, 0.0], [0.0, 0.0]], [[1.0, -1.0], [2.0, 0.0]]),
        ([[-1.0, -1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]),  # 2 g^2 + (-2) g^3 = 0 at g = 1
        ([[1.0, 1.0], [0.0, 0.0]], [[-1.0, -1.0], [0.0, 0.0]]),  # and at g = -1
    ],
    ids=["no gradient", "dead channel", "vanishes at g > 0", "vanishes at g < 0"],
)
def test_a_vanishing_denominator_has_zero_weight(activations: list, gradients: list) -> None:
    result = grad_cam_plusplus(torch.tensor([[activations]]), torch.tensor([[gradients]]))
    assert_close(result, torch.zeros(1, 2, 2))


@pytest.mark.parametrize("size", [1e-10, 1e-15, 1e-25, 1e-36])
def test_small_gradients_are_not_lost(numbers: Callable[..., Tensor], size: float) -> None:
    """The gradient of a saturated probability: its square is below the smallest float32, the weight is not."""
    activations, gradients = numbers(1, 5, 3, 4, seed=1).relu(), numbers(1, 5, 3, 4, seed=2)
    result = grad_cam_plusplus(activations.float(), (gradients * size).float())
    expected = (gradients.relu().sum((2, 3), keepdim=True) / 2 * activations).sum(1)  # alpha -> 1/2 as g -> 0
    assert_close(result.double() / size, expected, rtol=1e-4, atol=1e-4)


def test_large_gradients_stay_finite(numbers: Callable[..., Tensor]) -> None:
    result = grad_cam_plusplus(numbers(1, 5, 3, 4, seed=1).relu().float(), 1e15 * numbers(1, 5, 3, 4, seed=2).float())
    assert result.isfinite().all()
