"""Is LayerCAM the paper's?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.methods.layer_cam import layer_cam


def reference(activations: Tensor, gradients: Tensor) -> Tensor:
    """sum_k ReLU(g_ij^k) A_ij^k, written out."""
    b, c, h, w = activations.shape
    a, g = activations.tolist(), gradients.tolist()
    result = torch.zeros(b, h, w, dtype=torch.float64)
    for n in range(b):
        for k in range(c):
            for i in range(h):
                for j in range(w):
                    if g[n][k][i][j] > 0:
                        result[n, i, j] += g[n][k][i][j] * a[n][k][i][j]
    return result


def test_equals_the_reference(case: tuple[Tensor, Tensor]) -> None:
    assert_close(layer_cam(*case), reference(*case))


def test_equals_the_reference_on_a_network(
    stacked: Callable[..., nn.Module], images: Tensor, seen: Callable[..., tuple]
) -> None:
    network = stacked()
    activations, gradients, _ = seen(network, images, lambda o: o[:, 2])
    result = attribute(network, images, target=2, layer="features", method="layer_cam")
    assert_close(result, reference(activations, gradients))  # activations come from a ReLU: nothing to cut off
    assert (result >= 0).all()


def test_by_hand() -> None:
    activations = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, -6.0], [7.0, 8.0]]]])
    gradients = torch.tensor([[[[1.0, -1.0], [0.5, 0.0]], [[-9.0, 2.0], [1.0, 0.25]]]])
    assert_close(layer_cam(activations, gradients), torch.tensor([[[1.0, -12.0], [8.5, 2.0]]]))


def test_the_paper_cuts_off_what_is_negative(stacked: Callable[..., nn.Module], images: Tensor) -> None:
    network = stacked()
    network.features[1] = nn.Tanh()
    signed = attribute(network, images, target=1, layer="features", method="layer_cam", signed=True)
    assert (signed < 0).any()
    assert_close(attribute(network, images, target=1, layer="features", method="layer_cam"), signed.relu())


def test_no_positive_gradient_no_map(case: tuple[Tensor, Tensor]) -> None:
    assert_close(layer_cam(case[0], -case[1].abs()), torch.zeros(2, 3, 4, dtype=torch.float64))
