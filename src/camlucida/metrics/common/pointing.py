"""The maximum of a map, and whether it lies on the object."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.ranking import require_image

Ties: TypeAlias = Literal["random", "first"]
"""Which of several maxima is taken: a random one (seeded), or the first in reading order, as in TorchRay."""


def argmax_position(saliency: Tensor, ties: Ties, random: torch.Generator) -> tuple[int, int]:
    """Return the position (x, y) of the map's maximum."""
    if ties not in ("random", "first"):
        raise MetricError(f"no rule {ties!r} for ties. Known: random, first.")
    require_image(saliency, "the pointing game")
    highest = (saliency == saliency.max()).flatten().nonzero()[:, 0].cpu()
    flat_index = int(
        highest[int(torch.randint(len(highest), (), generator=random))] if ties == "random" else highest[0]
    )
    return flat_index % saliency.shape[1], flat_index // saliency.shape[1]


def is_within(region: Tensor, point: tuple[int, int], tolerance: float) -> bool:
    """Return whether a pixel of the region lies less than `tolerance` pixels from (x, y), centre to centre."""
    if not tolerance > 0:
        raise MetricError(f"tolerance is a number of pixels above 0 (1 for the pixel itself), not {tolerance}.")
    y, x = region.nonzero().T
    return bool(((x - point[0]) ** 2 + (y - point[1]) ** 2 < tolerance**2).any())
