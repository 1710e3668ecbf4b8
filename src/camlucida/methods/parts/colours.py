"""How the colour channels of a pixel map become one number a pixel: the option `join` of every pixel method."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from camlucida.errors import MethodError, nearest

JOINS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda found: found.abs().amax(-3),
    "norm": lambda found: found.square().sum(-3).sqrt(),
    "sum": lambda found: found.sum(-3),
    "sum_abs": lambda found: found.abs().sum(-3),
}
"""The largest absolute value (Simonyan), the Euclidean length, the signed sum, the sum of absolute values."""


def joined(found: Tensor, join: str) -> Tensor:
    """(..., c, H, W) as (..., H, W); `MethodError` for a way there is not."""
    if join not in JOINS:
        raise MethodError(f"no way {join!r} to join colours.{nearest(str(join), JOINS)} Known: {', '.join(JOINS)}.")
    return JOINS[join](found)
