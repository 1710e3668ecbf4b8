"""Is SmoothGrad the mean over noisy copies, with the same noise for every image?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError

Make = Callable[..., nn.Module]


def reference(network: nn.Module, images: Tensor, k: int, n: int, noise: float, seed: int) -> list[Tensor]:
    """The gradients (b, c, H, W) at every noisy copy."""
    drawn = torch.randn((n, *images.shape[1:]), generator=torch.Generator().manual_seed(seed))
    result = []
    for i in range(n):
        of_copy = []
        for image in images:
            sigma = noise * (image.max() - image.min())
            copy = (image + sigma * drawn[i].double())[None].requires_grad_()
            network(copy)[0, k].backward()
            of_copy.append(copy.grad[0])  # type: ignore[index]
        result.append(torch.stack(of_copy))
    return result


def test_equals_the_reference(stacked: Make, images: Tensor) -> None:
    gradients = reference(stacked(), images, 2, 11, 0.3, 4)
    mean = sum(gradients) / 11
    result = attribute(stacked(), images, target=2, method="smooth_grad", n=11, noise=0.3, seed=4)
    assert_close(result, mean.sum(1))  # type: ignore[union-attr]
    squared = sum(gradient**2 for gradient in gradients) / 11
    result = attribute(stacked(), images, target=2, method="smooth_grad", n=11, noise=0.3, seed=4, squared=True)
    assert_close(result, squared.sum(1))  # type: ignore[union-attr]


def test_without_noise_it_is_the_gradient(stacked: Make, images: Tensor) -> None:
    gradient = attribute(stacked(), images, target=2, method="gradient", reduce="sum")
    assert_close(attribute(stacked(), images, target=2, method="smooth_grad", n=3, noise=0.0), gradient)


def test_seeds_differ_and_the_default_is_fixed(stacked: Make, images: Tensor) -> None:
    one, same, other = (attribute(stacked(), images, method="smooth_grad", n=4, seed=s) for s in (0, 0, 1))
    assert_close(one, same, rtol=0, atol=0)
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_a_number_of_copies_that_is_none(stacked: Make, images: Tensor, n: float) -> None:
    with pytest.raises(MethodError, match="smooth_grad: n is an integer from 1"):
        attribute(stacked(), images, method="smooth_grad", n=n)
