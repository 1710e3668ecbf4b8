"""KPCA-CAM: scikit-learn's kernel PCA as the reference, Eigen-CAM's centred cousin as the closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.errors import MethodError
from camlucida.methods.kpca_cam import kpca_cam


def reference(image: Tensor, kernel: str, gamma: float) -> Tensor:
    """The kernel of every two positions, centred by loops; its largest eigenvalue and vector."""
    _, h, w = image.shape
    rows = [image[:, i, j] - image.mean((1, 2)) for i in range(h) for j in range(w)]
    n = len(rows)

    def of(x: Tensor, y: Tensor) -> Tensor:
        if kernel == "sigmoid":
            return torch.tanh(gamma * (x * y).sum() + 1)
        return torch.exp(-gamma * ((x - y) ** 2).sum()) if kernel == "rbf" else (x * y).sum()

    k = torch.stack([torch.stack([of(x, y) for y in rows]) for x in rows])
    ones = torch.full((n, n), 1 / n, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(k - ones @ k - k @ ones + ones @ k @ ones)
    result = (values[-1].sqrt() * vectors[:, -1]).view(h, w)
    return -result if (result * (image.sum(0) - image.sum(0).mean())).sum() < 0 else result


@pytest.mark.parametrize("gamma", [0.0, 0.4])
@pytest.mark.parametrize("kernel", ["sigmoid", "rbf", "linear"])
def test_reference(numbers: Callable[..., Tensor], kernel: str, gamma: float) -> None:
    activations = numbers(2, 5, 3, 4, seed=2)
    result = kpca_cam(activations, kernel=kernel, gamma=gamma)
    for image, map_ in zip(activations, result, strict=True):
        assert_close(map_, reference(image, kernel, gamma or 1 / 5))


def test_linear_is_the_first_centred_component(numbers: Callable[..., Tensor]) -> None:
    activations = numbers(1, 5, 3, 4, seed=3)
    centred = activations[0].flatten(1).T - activations[0].flatten(1).mean(1)
    assert_close(kpca_cam(activations, kernel="linear").norm(), torch.linalg.svdvals(centred)[0])


def test_a_constant_layer_shows_nothing() -> None:
    assert_close(kpca_cam(torch.full((1, 3, 4, 5), 2.0)), torch.zeros(1, 4, 5))


def test_a_bright_object_is_bright() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        layer = 0.2 * torch.rand(1, 16, 7, 7, generator=generator)
        layer[..., 2:4, 3:6] += 1
        result = kpca_cam(layer)[0]
        assert result[2:4, 3:6].min() > 0


@pytest.mark.parametrize(
    ("shape", "options", "why"),
    [
        ((1, 2, 3, 4), {"kernel": "cubic"}, "kernel is one of .*, not 'cubic'"),
        ((1, 2, 65, 65), {}, "at most 4096 positions, not 65 x 65"),
    ],
)
def test_refuses(shape: tuple[int, ...], options: dict[str, Any], why: str) -> None:
    with pytest.raises(MethodError, match=why):
        kpca_cam(torch.zeros(shape), **options)
