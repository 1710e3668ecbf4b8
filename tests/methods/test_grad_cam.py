"""Is Grad-CAM the paper's?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.methods.grad_cam import grad_cam

Make = Callable[..., nn.Module]


def reference(activations: Tensor, gradients: Tensor) -> Tensor:
    """alpha_k = 1/Z sum_i sum_j dy/dA_ij^k; L = sum_k alpha_k A^k (before the ReLU), written out."""
    b, c, h, w = activations.shape
    a, g = activations.tolist(), gradients.tolist()
    result = torch.zeros(b, h, w, dtype=torch.float64)
    for n in range(b):
        for k in range(c):
            alpha = 0.0
            for i in range(h):
                for j in range(w):
                    alpha += g[n][k][i][j]
            alpha /= h * w
            for i in range(h):
                for j in range(w):
                    result[n, i, j] += alpha * a[n][k][i][j]
    return result


def test_equals_the_reference(case: tuple[Tensor, Tensor]) -> None:
    assert_close(grad_cam(*case), reference(*case))


def test_equals_the_reference_on_a_network(stacked: Make, images: Tensor, seen: Callable[..., tuple]) -> None:
    network = stacked()
    activations, gradients, _ = seen(network, images, lambda o: o[:, 3])
    result = attribute(network, images, target=3, layer="features", signed=True)
    assert_close(result, reference(activations, gradients))
    assert_close(attribute(network, images, target=3, layer="features"), result.relu())


def test_by_hand() -> None:
    activations = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, 5.0]]]])
    gradients = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]], [[-1.0, -3.0], [-2.0, -2.0]]]])
    # alpha = (1, -2)
    assert_close(grad_cam(activations, gradients), torch.tensor([[[1.0, 0.0], [3.0, -6.0]]]))


@pytest.mark.parametrize("k", range(4))
def test_equals_cam_over_the_number_of_positions(gap: Make, images: Tensor, k: int) -> None:
    network = gap()
    cam = attribute(network, images, target=k, layer="features", method="cam")
    assert_close(attribute(network, images, target=k, layer="features", signed=True), cam / (3 * 5))
    assert_close(attribute(network, images, target=k, layer="features"), cam.relu() / (3 * 5))


def test_a_contrast_is_the_difference_before_the_relu(stacked: Make, images: Tensor) -> None:
    network = stacked()
    one, other = (attribute(network, images, target=k, layer="features", signed=True) for k in (1, 2))
    assert_close(attribute(network, images, target="1 rather than 2", layer="features", signed=True), one - other)


def test_a_counterfactual_is_minus_the_map(stacked: Make, images: Tensor) -> None:
    network = stacked()
    signed = attribute(network, images, target=1, layer="features", signed=True)
    assert_close(attribute(network, images, target="not 1", layer="features", signed=True), -signed)
    assert_close(attribute(network, images, target="not 1", layer="features"), (-signed).relu())


def test_no_gradient_no_map(case: tuple[Tensor, Tensor]) -> None:
    assert_close(grad_cam(case[0], torch.zeros_like(case[1])), torch.zeros(2, 3, 4, dtype=torch.float64))
