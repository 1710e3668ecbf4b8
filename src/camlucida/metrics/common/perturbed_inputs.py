"""Pictures close to the one asked about, and their maps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camlucida.errors import MetricError

BATCH_SIZE = 8
"""Pictures explained in one batch."""


def noisy_copies(
    inputs: Tensor,
    pixel_scale: Tensor,
    random: torch.Generator,
    n: int,
    noise: Callable[[torch.Generator, tuple[int, ...]], Tensor],
) -> Tensor:
    """n copies (n, c, H, W) of a picture (c, H, W); `noise` is drawn in steps from black to white."""
    if n < 1:
        raise MetricError(f"n is how many noisy copies to explain, 1 or more, not {n}.")
    perturbations = noise(random, (n, *inputs.shape))
    return inputs + perturbations.to(inputs) * pixel_scale


def explain_batches(explain: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The maps (n, H, W) of pictures (n, c, H, W), a few at a time."""
    return torch.cat([explain(batch) for batch in torch.split(images, BATCH_SIZE)])
