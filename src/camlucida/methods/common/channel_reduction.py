"""Reduction of the colour channels of a pixel map: the option `reduce` of every pixel method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from torch import Tensor

from camlucida.options import OneOf

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda saliency: saliency.abs().amax(1),
    "norm": lambda saliency: saliency.square().sum(1).sqrt(),
    "sum": lambda saliency: saliency.sum(1),
    "sum_abs": lambda saliency: saliency.abs().sum(1),
}
"""The largest absolute value (Simonyan), the Euclidean norm, the signed sum, the sum of absolute values."""

Join: TypeAlias = Annotated[str, OneOf(REDUCTIONS)]
"""Name of a reduction over the colour channels."""


KEEP = "keep"
"""What is passed in place of a reduction for a map in colour; no value of the option `reduce`."""


def reduce_channels(channels: Tensor, reduce: str) -> Tensor:
    """Reduce channels `(b, c, *grid)` to `(b, *grid)`; with `KEEP`, return them unmodified."""
    return channels if reduce == KEEP else REDUCTIONS[reduce](channels)
