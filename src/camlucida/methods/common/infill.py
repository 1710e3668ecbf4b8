"""What stands where a part of a picture is hidden."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from camlucida.errors import MethodError, nearest
from camlucida.maps import blurred_infill
from camlucida.options import OneOf

INFILLS = ("mean", "blur")
Infill: TypeAlias = Annotated[str, OneOf(INFILLS)]
"""What hides a part of an image."""


def infill_image(inputs: Tensor, infill: str) -> Tensor:
    """Pictures (b, c, H, W) that show nothing: "mean" is the mean colour (0, after normalisation), "blur" a blur."""
    if infill == "mean":
        return torch.zeros_like(inputs)
    if infill == "blur":
        return blurred_infill(inputs)
    raise MethodError(f"no infill {infill!r}.{nearest(str(infill), INFILLS)} Known: {', '.join(INFILLS)}.")
