"""What stands where a part of a picture is hidden."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.errors import MethodError, nearest
from camlucida.options import OneOf

FILLS = ("mean", "blur")
Fill: TypeAlias = Annotated[str, OneOf(FILLS)]
"""What hides a part of an image."""
BLUR = 0.05
"""Sigma of the blur, as a share of the shorter side: 11 pixels of 224, which leaves colours and no shapes."""


def filled(inputs: Tensor, fill: str) -> Tensor:
    """Pictures (b, c, H, W) that show nothing: "mean" is the mean colour (0, after normalisation), "blur" a blur."""
    if fill == "mean":
        return torch.zeros_like(inputs)
    if fill == "blur":
        return blurred(inputs, BLUR * min(inputs.shape[-2:]))
    raise MethodError(f"no fill {fill!r}.{nearest(str(fill), FILLS)} Known: {', '.join(FILLS)}.")


def blurred(inputs: Tensor, sigma: float) -> Tensor:
    """Pictures (b, c, H, W) with a Gaussian blur of `sigma` pixels; beyond the border the border's colour goes on."""
    reach = max(1, round(4 * sigma))
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2)
    exact = torch.promote_types(inputs.dtype, torch.float32)
    weights = (bell / bell.sum()).to(device=inputs.device, dtype=exact)
    rows = inputs.to(exact).flatten(0, 1)[:, None]
    rows = F.conv2d(F.pad(rows, (reach, reach, 0, 0), mode="replicate"), weights.view(1, 1, 1, -1))
    rows = F.conv2d(F.pad(rows, (0, 0, reach, reach), mode="replicate"), weights.view(1, 1, -1, 1))
    return rows.reshape(inputs.shape).to(inputs.dtype)
