"""Variants of the pictures that several methods run the network on: variant numbers (n,) in, (n, b, c, H, W) out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def the_picture(inputs: Tensor) -> Callable[[Tensor], Tensor]:
    """The pictures themselves, as often as asked for."""
    return lambda which: inputs.expand(len(which), *inputs.shape)


def noisy(inputs: Tensor, count: int, noise: float, seed: int) -> Callable[[Tensor], Tensor]:
    """The pictures under Gaussian noise; every picture of the batch under the same noise, whatever the chunks.

    noise    standard deviation, as a share of each picture's range (its maximum less its minimum)
    """
    drawn = torch.randn((count, *inputs.shape[1:]), generator=torch.Generator().manual_seed(seed))
    width = noise * (inputs.amax((1, 2, 3), keepdim=True) - inputs.amin((1, 2, 3), keepdim=True))
    return lambda which: inputs + width * drawn[which][:, None].to(inputs)
