"""Is Eigen-CAM the paper's, the right way up, by whichever of its two branches?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.methods.eigen_cam import eigen_cam


def reference(activations: Tensor) -> Tensor:
    """A v_1 from the full SVD of (positions, channels), not centred, as the SVD's sign has it."""
    maps = []
    for image in activations.numpy():
        c, h, w = image.shape
        matrix = np.array([[image[k, i, j] for k in range(c)] for i in range(h) for j in range(w)])
        _, _, vh = np.linalg.svd(matrix, full_matrices=True)
        maps.append((matrix @ vh[0]).reshape(h, w))
    return torch.tensor(np.stack(maps), dtype=torch.float64)


@pytest.mark.parametrize("positive", [True, False], ids=["relu", "signed"])
@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (2, 12, 3, 4), (2, 30, 3, 4), (1, 1, 4, 3), (3, 7, 1, 5)], ids=str)
def test_equals_the_full_svd_up_to_the_sign(
    numbers: Callable[..., Tensor], shape: tuple[int, ...], positive: bool
) -> None:
    activations = numbers(*shape, seed=sum(shape), positive=positive)
    result, expected = eigen_cam(activations), reference(activations)
    turned = torch.where(expected.sum((1, 2), keepdim=True) < 0, -expected, expected)
    assert_close(result, turned)


@pytest.mark.parametrize("shape", [(4, 5, 3, 4), (4, 30, 3, 4)], ids=["few channels", "many channels"])
def test_the_sum_is_never_negative(numbers: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    for seed in range(20):
        assert (eigen_cam(numbers(*shape, seed=seed)).sum((1, 2)) >= 0).all()


@pytest.mark.parametrize("shape", [(5, 3, 4), (30, 3, 4)], ids=["few channels", "many channels"])
def test_the_best_map_of_rank_one(numbers: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    """No direction of the channels holds more than v_1: the norm of A v_1 is the first singular value."""
    activations = numbers(1, *shape, seed=3)
    largest = np.linalg.svd(activations[0].flatten(1).numpy(), compute_uv=False)[0]
    assert_close(eigen_cam(activations).norm(), torch.tensor(largest))


@pytest.mark.parametrize("channels", [16, 96], ids=["few channels", "many channels"])
def test_one_bright_object_is_never_inverted(channels: int) -> None:
    """200 non-negative layers of noise with one bright rectangle: without the rule for the sign most come out dark."""
    generator = torch.Generator().manual_seed(0)
    wrong = []
    for n in range(200):
        layer = torch.rand(1, channels, 7, 7, generator=generator)
        top, left = torch.randint(0, 5, (2,), generator=generator).tolist()
        object_ = (slice(top, top + 2), slice(left, left + 3))
        layer[(..., *object_)] += 3 * torch.rand(channels, 1, 1, generator=generator)
        result = eigen_cam(layer)[0]
        inside = torch.zeros(7, 7, dtype=torch.bool)
        inside[object_] = True
        if not result[inside].min() > result[~inside].max() or result.min() < 0:
            wrong.append(n)
    assert not wrong


def test_both_branches_agree(numbers: Callable[..., Tensor]) -> None:
    """Channels of zeros change nothing but the branch."""
    activations = numbers(2, 8, 3, 4, seed=5)
    padded = torch.cat([activations, torch.zeros(2, 30, 3, 4, dtype=torch.float64)], dim=1)
    assert_close(eigen_cam(padded), eigen_cam(activations))


@pytest.mark.parametrize("channels", [3, 30])
def test_dead_and_constant_layers(channels: int) -> None:
    assert_close(eigen_cam(torch.zeros(1, channels, 3, 4)), torch.zeros(1, 3, 4))
    constant = eigen_cam(torch.full((1, channels, 3, 4), 2.0))
    assert_close(constant, torch.full((1, 3, 4), 2.0 * channels**0.5))


def test_the_images_of_a_batch_are_apart(numbers: Callable[..., Tensor]) -> None:
    activations = numbers(3, 6, 3, 4, seed=8)
    assert_close(eigen_cam(activations), torch.cat([eigen_cam(image[None]) for image in activations]))
