"""Variants of the pictures that several methods run the network on: variant numbers (n,) in, (n, b, c, H, W) out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from camlucida.errors import MethodError, nearest
from camlucida.seeds import generator


def the_picture(inputs: Tensor) -> Callable[[Tensor], Tensor]:
    """The pictures themselves, as often as asked for."""
    return lambda which: inputs.expand(len(which), *inputs.shape)


def noisy(inputs: Tensor, count: int, noise: float, seed: int) -> Callable[[Tensor], Tensor]:
    """The pictures under Gaussian noise; every picture of the batch under the same noise, whatever the chunks.

    noise    standard deviation, as a share of each picture's range (its maximum less its minimum)
    """
    drawn = torch.randn((count, *inputs.shape[1:]), generator=generator(seed))
    width = noise * (inputs.amax((1, 2, 3), keepdim=True) - inputs.amin((1, 2, 3), keepdim=True))
    return lambda which: inputs + width * drawn[which][:, None].to(inputs)


def checked_count(n: int, *, least: int = 1) -> int:
    """`n` itself; `MethodError` where it is no whole number, or too few."""
    if n != int(n) or n < least:
        raise MethodError(f"n is how many noisy copies to run, a whole number from {least} on, not {n}.")
    return int(n)


BASELINES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "mean": lambda inputs, seed: torch.zeros_like(inputs),
    "noise": lambda inputs, seed: torch.randn(inputs.shape[1:], generator=generator(seed)).to(inputs).expand_as(inputs),
}
"""Pictures with nothing on them, in the units of the network's input: all 0, which is the mean colour; or N(0, 1)."""


def baseline_pictures(inputs: Tensor, name: str, seed: int) -> Tensor:
    """Pictures (b, c, H, W) with nothing on them, the same for every image; `MethodError` for a name unknown."""
    if name not in BASELINES:
        raise MethodError(f"no baseline {name!r}.{nearest(str(name), BASELINES)} Known: {', '.join(BASELINES)}.")
    return BASELINES[name](inputs, seed)


def gauss_legendre(steps: int) -> tuple[Tensor, Tensor]:
    """Nodes in (0, 1) and weights that add up to 1: exact for polynomials up to degree 2 * steps - 1. float64."""
    if steps != int(steps) or steps < 1:
        raise MethodError(f"steps is how many points of the way to run, a whole number from 1 on, not {steps}.")
    nodes, weights = np.polynomial.legendre.leggauss(int(steps))
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
