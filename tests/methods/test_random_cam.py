"""Random-CAM: the same weights for all, within -1 and 1, from the seed alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.methods.random_cam import random_cam


def weights(channels: int, seed: int) -> Tensor:
    """What channel after channel weighs, read off activations of 1 in one channel at a position."""
    return random_cam(torch.eye(channels).double().view(1, channels, 1, channels), seed=seed).flatten()


def test_is_linear_in_the_channels(numbers: Callable[..., Tensor]) -> None:
    activations = numbers(2, 5, 3, 4, seed=0)
    assert_close(random_cam(activations), torch.einsum("c,bchw->bhw", weights(5, 0), activations))


def test_weights_are_even_between_minus_1_and_1() -> None:
    result = weights(4000, 3)
    assert result.abs().max() <= 1
    assert_close(result.mean(), torch.zeros(()).double(), rtol=0, atol=0.05)
    assert_close(result.square().mean(), torch.tensor(1 / 3).double(), rtol=0, atol=0.03)


def test_seeds_differ() -> None:
    assert not torch.equal(weights(5, 0), weights(5, 1))
    assert_close(weights(5, 1), weights(5, 1), rtol=0, atol=0)
