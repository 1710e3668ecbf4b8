"""What stands where a part of a picture is hidden."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.errors import MethodError, nearest
from camlucida.tensors import blurred_infill

FILLS = ("mean", "blur")


def filled(inputs: Tensor, fill: str) -> Tensor:
    """Pictures (b, c, H, W) that show nothing: "mean" is the mean colour (0, after normalisation), "blur" a blur."""
    if fill == "mean":
        return torch.zeros_like(inputs)
    if fill == "blur":
        return blurred_infill(inputs)
    raise MethodError(f"no fill {fill!r}.{nearest(str(fill), FILLS)} Known: {', '.join(FILLS)}.")
