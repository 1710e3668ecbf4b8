"""Which pixel comes first: order among equal values is drawn by lot, never that of their numbers."""

from __future__ import annotations

import torch
from torch import Tensor

CONSTANT_TOLERANCE = 1e-6
"""Of the largest value: a map that varies less is the same everywhere, but for the rounding of its enlargement."""


def is_nonzero(relevance: Tensor) -> bool:
    """Whether a map can be judged at all: it has numbers only, and not all of them are 0."""
    return bool(relevance.isfinite().all()) and bool((relevance != 0).any())


def is_constant(relevance: Tensor) -> bool:
    """Whether it is the same everywhere, which says nothing about where to look."""
    values = relevance.double()
    return float(values.max() - values.min()) <= CONSTANT_TOLERANCE * float(values.abs().max())


def is_rankable(relevance: Tensor) -> bool:
    """Return whether a map has an order to judge: numbers only, not all 0, and not constant."""
    return is_nonzero(relevance) and not is_constant(relevance)


def ranks(relevance: Tensor, random: torch.Generator) -> Tensor:
    """The place of every value in a row from the largest to the smallest: long, of the same shape, from 0 on.

    Equal values stand in an order drawn with `random`; of a map that is the same everywhere that is all of them. The
    row is made on the processor, so that no device has an order of its own.
    """
    values = relevance.detach().cpu().double().flatten()
    if is_constant(values):
        values = torch.zeros_like(values)
    permutation = torch.randperm(len(values), generator=random)
    order = permutation[values[permutation].argsort(descending=True, stable=True)]
    positions = torch.empty_like(order)
    positions[order] = torch.arange(len(order))
    return positions.reshape(relevance.shape).to(relevance.device)
