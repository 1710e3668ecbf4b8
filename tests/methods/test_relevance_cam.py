"""Is Relevance-CAM the paper's?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.methods.relevance_cam import relevance_cam

Make = Callable[..., nn.Module]


def z_plus(weight: Tensor, bias: Tensor, x: Tensor, relevance: Tensor) -> Tensor:
    """sum_j x_i w_ij^+ / (sum_i x_i w_ij^+ + b_j^+) R_j, for x >= 0, written out."""
    result = torch.zeros_like(x)
    for j in range(len(relevance)):
        parts = [max(float(weight[j, i] * x[i]), 0.0) for i in range(len(x))]
        total = sum(parts) + max(float(bias[j]), 0.0)
        for i in range(len(x)):
            if total > 0:
                result[i] += parts[i] / total * relevance[j]
    return result


def reference(network: nn.Module, activations: Tensor, k: int, contrast: bool) -> Tensor:
    """The map of one image at `features` of a `Gap`: mean over the positions, one linear layer."""
    c, h, w = activations.shape
    pooled = activations.mean((1, 2))
    y = network.head(pooled).detach()  # type: ignore[operator]
    start = torch.full_like(y, float(-y[k] / (len(y) - 1)) if contrast else 0.0)
    start[k] = y[k]
    head = network.head
    of_pooled = z_plus(head.weight.detach(), head.bias.detach(), pooled, start)  # type: ignore[union-attr, operator]
    result = torch.zeros(h, w, dtype=torch.float64)
    for channel in range(c):
        # In proportion to the values over the positions: all of it arrives, h w of them share it.
        weight = float(of_pooled[channel]) / (h * w) if pooled[channel] > 0 else 0.0
        result += weight * activations[channel]
    return result


@pytest.mark.parametrize("contrast", [True, False])
@pytest.mark.parametrize("k", range(4))
def test_equals_the_reference(
    gap: Make, images: Tensor, seen: Callable[..., tuple[Tensor, Tensor, Tensor]], k: int, contrast: bool
) -> None:
    network = gap()
    activations, _, _ = seen(network, images, lambda o: o[:, k])
    expected = torch.stack([reference(network, of_image, k, contrast) for of_image in activations])
    options = {"contrast": contrast, "epsilon": 1e-14}
    result = attribute(network, images, target=k, layer="features", method="relevance_cam", signed=True, **options)
    assert_close(result, expected, rtol=1e-7, atol=1e-10)


def test_weights_are_means_over_the_positions() -> None:
    activations, relevance = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    result = relevance_cam(activations, lambda *_, **__: (relevance, torch.zeros(2)))
    expected = torch.zeros(2, 4, 5)
    for b in range(2):
        for c in range(3):
            expected[b] += relevance[b, c].sum() / 20 * activations[b, c]
    assert_close(result, expected)


def test_a_contrast_leaves_the_classes_between(gap: Make, images: Tensor) -> None:
    """Several classes asked for begin with their own; only the others share the negative part."""
    network = gap()
    options = {"layer": "features", "method": "relevance_cam", "signed": True}
    y = network(images).detach()[:, :, None, None]
    shares = [attribute(network, images, target=k, contrast=False, **options) / y[:, k] for k in range(4)]
    result = attribute(network, images, target="0 rather than 3", **options)
    both = y[:, 0] - y[:, 3]
    expected = y[:, 0] * shares[0] - y[:, 3] * shares[3] - both / 2 * (shares[1] + shares[2])
    assert_close(result, expected)
    # Where every class is asked for, as by a probability, there are no others.
    options["score"] = "probability"
    alone = attribute(network, images, target=0, contrast=False, **options)
    assert_close(attribute(network, images, target=0, **options), alone)
