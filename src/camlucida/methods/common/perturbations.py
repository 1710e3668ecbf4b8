"""Variants of the pictures that several methods run the network on: variant numbers (n,) in, (n, b, c, H, W) out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import numpy as np
import torch
from torch import Tensor

from camlucida.options import OneOf
from camlucida.seeds import generator


def the_image(inputs: Tensor) -> Callable[[Tensor], Tensor]:
    """The pictures themselves, as often as asked for."""
    return lambda which: inputs.expand(len(which), *inputs.shape)


def noisy(inputs: Tensor, n: int, noise: float, seed: int) -> Callable[[Tensor], Tensor]:
    """The pictures under Gaussian noise; every picture of the batch under the same noise, whatever the chunks.

    noise    standard deviation, as a share of each picture's range (its maximum less its minimum)
    """
    noise_samples = torch.randn((n, *inputs.shape[1:]), generator=generator(seed))
    sigma = noise * (inputs.amax((1, 2, 3), keepdim=True) - inputs.amin((1, 2, 3), keepdim=True))
    return lambda which: inputs + sigma * noise_samples[which][:, None].to(inputs)


BASELINES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "mean": lambda inputs, seed: torch.zeros_like(inputs),
    "noise": lambda inputs, seed: torch.randn(inputs.shape[1:], generator=generator(seed)).to(inputs).expand_as(inputs),
}
"""Pictures with nothing on them, in the units of the network's input: all 0, which is the mean colour; or N(0, 1)."""

Baseline: TypeAlias = Annotated[str, OneOf(BASELINES)]


def baseline_images(inputs: Tensor, name: str, seed: int) -> Tensor:
    """Pictures (b, c, H, W) with nothing on them, the same for every image."""
    return BASELINES[name](inputs, seed)


def gauss_legendre(steps: int) -> tuple[Tensor, Tensor]:
    """Nodes in (0, 1) and weights that add up to 1: exact for polynomials up to degree 2 * steps - 1. float64."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
