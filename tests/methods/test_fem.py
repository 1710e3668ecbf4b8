"""FEM: loops, numbers by hand, and channels in which nothing stands out."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.methods.fem import fem


@pytest.mark.parametrize("k", [0.5, 1.0, 2.0])
def test_reference(numbers: Callable[..., Tensor], k: float) -> None:
    activations = numbers(2, 5, 6, 7, seed=1)
    expected = torch.zeros(2, 6, 7, dtype=torch.float64)
    for b, c in itertools.product(range(2), range(5)):
        values = activations[b, c].flatten().tolist()
        mean = sum(values) / len(values)
        deviation = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
        for i, j in itertools.product(range(6), range(7)):
            if activations[b, c, i, j] >= mean + k * deviation:
                expected[b, i, j] += mean
    assert expected.abs().max() > 0
    assert_close(fem(activations, k=k), expected)


def test_by_hand() -> None:
    """Mean 1, deviation sqrt(3): only the 4 is above 1 + sqrt(3)."""
    activations = torch.tensor([[[[0.0, 4.0], [0.0, 0.0]]]])
    assert_close(fem(activations, k=1.0), torch.tensor([[[0.0, 1.0], [0.0, 0.0]]]))
    assert_close(fem(activations, k=2.0), torch.zeros(1, 2, 2))


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_a_constant_channel_counts_nowhere(value: float) -> None:
    assert_close(fem(torch.full((1, 3, 7, 7), value)), torch.zeros(1, 7, 7))
