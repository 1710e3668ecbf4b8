"""Variants of the network inputs that several methods share: functions from variant indices (n,) to (n, b, c, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import numpy as np
import torch
from torch import Tensor

from camlucida.options import OneOf
from camlucida.seeds import generator


def the_image(inputs: Tensor) -> Callable[[Tensor], Tensor]:
    """Return variants that all equal the inputs."""
    return lambda which: inputs.expand(len(which), *inputs.shape)


def noisy(inputs: Tensor, n: int, noise: float, seed: int) -> Callable[[Tensor], Tensor]:
    """Return variants with Gaussian noise, which is the same for every image and independent of the chunks.

    Args:
        inputs: Network inputs `(b, c, *grid)`.
        n: Number of variants.
        noise: Standard deviation, as a fraction of each input's range (its maximum minus its minimum).
        seed: Seed of the noise.
    """
    noise_samples = torch.randn((n, *inputs.shape[1:]), generator=generator(seed), dtype=torch.float32)
    values = tuple(range(1, inputs.ndim))
    sigma = noise * (inputs.amax(values, keepdim=True) - inputs.amin(values, keepdim=True))
    return lambda which: inputs + sigma * noise_samples[which][:, None].to(inputs)


BASELINES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "mean": lambda inputs, seed: torch.zeros_like(inputs),
    "noise": lambda inputs, seed: (
        torch.randn(inputs.shape[1:], generator=generator(seed), dtype=torch.float32).to(inputs).expand_as(inputs)
    ),
}
"""Reference inputs without content, in units of the network input: 0, which is the mean colour; or noise, N(0, 1)."""

Baseline: TypeAlias = Annotated[str, OneOf(BASELINES)]
"""Name of a reference input."""


def baseline_images(inputs: Tensor, name: str, seed: int) -> Tensor:
    """Return reference inputs `(b, c, H, W)`, the same for every image of the batch."""
    return BASELINES[name](inputs, seed)


def gauss_legendre(steps: int) -> tuple[Tensor, Tensor]:
    """Return Gauss-Legendre nodes in (0, 1) and weights that sum to 1, both `(steps,)`, float64.

    The quadrature is exact for polynomials of degree 2 * steps - 1 and lower.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
