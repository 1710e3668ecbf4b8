"""Is VarGrad the variance over noisy copies, in every chunking, and exactly 0 where nothing varies?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError
from camlucida.methods.var_grad import var_grad

Make = Callable[..., nn.Module]


def test_equals_the_reference(stacked: Make, images: Tensor) -> None:
    """Mean, then mean squared distance from it, written out."""
    network, n, noise, seed = stacked(), 19, 0.4, 3
    drawn = torch.randn((n, *images.shape[1:]), generator=torch.Generator().manual_seed(seed)).double()
    for b, image in enumerate(images):
        gradients = []
        for i in range(n):
            copy = (image + noise * (image.max() - image.min()) * drawn[i])[None].requires_grad_()
            network(copy)[0, 1].backward()
            gradients.append(copy.grad[0])  # type: ignore[index]
        mean = sum(gradients) / n
        variance = sum((gradient - mean) ** 2 for gradient in gradients) / n
        result = attribute(network, images, target=1, method="var_grad", n=n, noise=noise, seed=seed)[b]
        assert_close(result, variance.amax(0))  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [1, 3, 7])
def test_chunks_and_a_small_variance_about_a_large_mean(size: int) -> None:
    values = 1e6 + torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], dtype=torch.float64)

    def input_gradients(variants: object, count: int) -> object:
        for indices in torch.arange(count).split(size):
            yield indices, None, values[indices].view(-1, 1, 1, 1, 1)

    result = var_grad(torch.zeros(1, 1, 1, 1), input_gradients, n=7)
    assert_close(result, torch.full((1, 1, 1), 4.0, dtype=torch.float64))


def test_a_linear_network_has_none(images: Tensor) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(180, 4)).double()
    assert (attribute(network, images, target=0, method="var_grad", n=5) == 0).all()


def test_one_copy_is_too_few(stacked: Make, images: Tensor) -> None:
    with pytest.raises(MethodError, match="an integer from 2"):
        attribute(stacked(), images, method="var_grad", n=1)
