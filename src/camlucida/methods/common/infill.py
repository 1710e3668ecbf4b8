"""Infill: what replaces the hidden part of a network input (called baseline or substrate elsewhere)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from camlucida.errors import MethodError, nearest
from camlucida.maps import blurred_infill
from camlucida.options import OneOf

INFILLS = ("mean", "blur")
Infill: TypeAlias = Annotated[str, OneOf(INFILLS)]
"""Name of the infill of hidden pixels."""


def require_images(inputs: Tensor, name: str, instead: str) -> None:
    """Refuse volumes and frames, for methods that are defined for images only.

    Args:
        inputs: Network inputs `(b, c, *grid)`.
        name: Name of the method.
        instead: Methods that support volumes.

    Raises:
        MethodError: The inputs are not images `(b, c, H, W)`.
    """
    if inputs.ndim != 4:
        shape = "×".join(map(str, inputs.shape))
        raise MethodError(f"{name} supports images only, and the network input is {shape}. Use {instead}.")


def infill_image(inputs: Tensor, infill: str) -> Tensor:
    """Return network inputs without content.

    Args:
        inputs: Network inputs `(b, c, *grid)`.
        infill: "mean" for the mean colour (0, after normalisation), "blur" for the blurred inputs.

    Returns:
        Infill `(b, c, *grid)`.

    Raises:
        MethodError: The infill is unknown.
    """
    if infill == "mean":
        return torch.zeros_like(inputs)
    if infill == "blur":
        return blurred_infill(inputs)
    raise MethodError(f"no infill {infill!r}.{nearest(str(infill), INFILLS)} Known: {', '.join(INFILLS)}.")
