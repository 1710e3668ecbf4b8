"""Is input x gradient the paper's?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute

Make = Callable[..., nn.Module]


def reference(network: nn.Module, images: Tensor, k: int) -> Tensor:
    """sum_c x_c dS/dx_c, written out."""
    result = torch.zeros(len(images), *images.shape[2:], dtype=images.dtype)
    for b, image in enumerate(images):
        x = image[None].clone().requires_grad_()
        network(x)[0, k].backward()
        for c in range(image.shape[0]):
            for i in range(image.shape[1]):
                for j in range(image.shape[2]):
                    result[b, i, j] += float(image[c, i, j] * x.grad[0, c, i, j])  # type: ignore[index]
    return result


def test_equals_the_reference(stacked: Make, images: Tensor) -> None:
    result = attribute(stacked(), images, target=1, method="input_x_gradient")
    assert_close(result, reference(stacked(), images, 1))
    assert result.min() < 0 < result.max()


def test_adds_up_to_the_score_where_there_are_no_biases(stacked: Make, images: Tensor) -> None:
    """A network of ReLUs without biases is linear along the way from 0 to the image."""
    network = stacked(bias=False)
    result = attribute(network, images, target=3, method="input_x_gradient")
    assert_close(result.sum((1, 2)), network(images)[:, 3].detach())


def test_nothing_at_the_mean_colour(stacked: Make, images: Tensor) -> None:
    images = images.clone()
    images[:, :, 2, 3] = 0
    assert (attribute(stacked(), images, method="input_x_gradient")[:, 2, 3] == 0).all()
