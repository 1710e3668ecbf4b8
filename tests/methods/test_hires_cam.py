"""Is HiResCAM the paper's?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.methods.hires_cam import hires_cam


def reference(activations: Tensor, gradients: Tensor) -> Tensor:
    """sum_k g_ij^k A_ij^k, written out."""
    b, c, h, w = activations.shape
    a, g = activations.tolist(), gradients.tolist()
    result = torch.zeros(b, h, w, dtype=torch.float64)
    for n in range(b):
        for i in range(h):
            for j in range(w):
                for k in range(c):
                    result[n, i, j] += g[n][k][i][j] * a[n][k][i][j]
    return result


def test_equals_the_reference(case: tuple[Tensor, Tensor]) -> None:
    assert_close(hires_cam(*case), reference(*case))


def test_equals_the_reference_on_a_network(
    stacked: Callable[..., nn.Module], images: Tensor, seen: Callable[..., tuple]
) -> None:
    network = stacked()
    activations, gradients, _ = seen(network, images, lambda o: o[:, 0])
    result = attribute(network, images, target=0, layer="features", method="hires_cam")
    assert_close(result, reference(activations, gradients))
    assert (result < 0).any()  # the definition has no ReLU


@pytest.mark.parametrize("k", range(4))
def test_equals_cam_over_the_number_of_positions(gap: Callable[..., nn.Module], images: Tensor, k: int) -> None:
    network = gap()
    cam = attribute(network, images, target=k, layer="features", method="cam")
    assert_close(attribute(network, images, target=k, layer="features", method="hires_cam"), cam / (3 * 5))


def test_adds_up_to_the_score_without_biases(stacked: Callable[..., nn.Module], images: Tensor) -> None:
    """ReLU networks without biases are homogeneous: sum A g = S (Euler)."""
    network = stacked(bias=False)
    result = attribute(network, images, target=2, layer="features", method="hires_cam")
    assert_close(result.sum((1, 2)), network(images)[:, 2].detach())


def test_differs_from_grad_cam_where_the_gradient_varies(stacked: Callable[..., nn.Module], images: Tensor) -> None:
    network = stacked()
    hires = attribute(network, images, target=0, layer="features", method="hires_cam")
    grad = attribute(network, images, target=0, layer="features", signed=True)
    assert (hires - grad).abs().max() > 0.1 * hires.abs().max()
