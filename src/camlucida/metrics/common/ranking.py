"""Normalisation and rankings of map values. Equal values are ordered at random, never by their position."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.errors import MetricError

CONSTANT_TOLERANCE = 1e-6
"""A map whose range is at most this fraction of its largest absolute value is constant up to rounding."""


def require_image(map_: Tensor, what: str) -> None:
    """Raise `MetricError` for a map that is not one of an image `(height, width)`.

    Args:
        map_: A map, a mask or one channel of a network input.
        what: What is defined for images only, as the start of a sentence.
    """
    if map_.ndim != 2:
        shape = "×".join(map(str, map_.shape))
        raise MetricError(
            f"{what} is defined for images, and this is a volume or a video of {shape}. Use deletion, insertion, "
            "mu_fidelity, gini, entropy, auroc or energy."
        )


def normalized_magnitudes(map_: Tensor) -> Tensor:
    """Return |L| / sum |L| as a flat float64 tensor; NaN for a map that is zero everywhere."""
    magnitudes = map_.double().abs().flatten()
    total = magnitudes.sum()
    return magnitudes / total.where(total > 0, torch.nan)


def is_nonzero(relevance: Tensor) -> bool:
    """Return whether a map can be scored at all: all values are finite, and not all are 0."""
    return bool(relevance.isfinite().all()) and bool((relevance != 0).any())


def is_constant(relevance: Tensor) -> bool:
    """Return whether a map is constant up to rounding, so that it has no ranking."""
    values = relevance.double()
    return float(values.max() - values.min()) <= CONSTANT_TOLERANCE * float(values.abs().max())


def is_rankable(relevance: Tensor) -> bool:
    """Return whether a map defines a ranking: finite, not all 0, and not constant."""
    return is_nonzero(relevance) and not is_constant(relevance)


def ranks(relevance: Tensor, random: torch.Generator) -> Tensor:
    """Return the rank of each value, 0 for the largest, as a long tensor of the same shape.

    Equal values are ordered at random with the generator `random`; for a constant map these are all values. The ranking
    is computed on the CPU, so that it does not depend on the device.
    """
    values = relevance.detach().cpu().double().flatten()
    if is_constant(values):
        values = torch.zeros_like(values)
    permutation = torch.randperm(len(values), generator=random)
    order = permutation[values[permutation].argsort(descending=True, stable=True)]
    positions = torch.empty_like(order)
    positions[order] = torch.arange(len(order))
    return positions.reshape(relevance.shape).to(relevance.device)
