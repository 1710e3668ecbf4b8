"""Perturbed copies of an input and their maps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camlucida.errors import MetricError

BATCH_SIZE = 8
"""Number of images explained in one batch."""


def noisy_copies(
    inputs: Tensor,
    pixel_scale: Tensor,
    random: torch.Generator,
    n: int,
    noise: Callable[[torch.Generator, tuple[int, ...]], Tensor],
) -> Tensor:
    """Return noisy copies `(n, c, H, W)` of an input.

    Args:
        inputs: `(c, H, W)` the network input.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        random: Generator for the noise.
        n: Number of copies.
        noise: Samples noise of a given shape, as a fraction of the range from black to white.

    Raises:
        MetricError: If `n` is less than 1.
    """
    if n < 1:
        raise MetricError(f"n is the number of noisy inputs, at least 1, not {n}.")
    perturbations = noise(random, (n, *inputs.shape))
    return inputs + perturbations.to(inputs) * pixel_scale


def explain_batches(explain: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the maps `(n, H, W)` of inputs `(n, c, H, W)`, computed in batches."""
    return torch.cat([explain(batch) for batch in torch.split(images, BATCH_SIZE)])
