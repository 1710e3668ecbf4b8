"""Maths on maps: from a layer's grid to the network's input and to the original picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.types import Geometry


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (b, h, w) at another size (height, width): bilinear, half-pixel centres, as the papers have it."""
    return F.interpolate(maps[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]


def land(map_: Tensor, geometry: Geometry) -> Tensor:
    """One map (h, w) on the original picture: (height, width), NaN where the network did not look.

    First up to the network's input, then through the recorded resize, crop or letterbox, both bilinear.
    """
    (width, height), (input_width, input_height) = geometry.original, geometry.input
    at_input = upsample(map_[None], (input_height, input_width))
    x = (torch.arange(width) + 0.5) * geometry.scale[0] + geometry.offset[0]
    y = (torch.arange(height) + 0.5) * geometry.scale[1] + geometry.offset[1]
    across, down = 2 * x / input_width - 1, 2 * y / input_height - 1
    grid = torch.stack([across.expand(height, width), down[:, None].expand(height, width)], dim=-1)
    landed = F.grid_sample(
        at_input[None].cpu(), grid[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0, 0]
    left, top, right, bottom = geometry.seen
    seen_x = (torch.arange(width) + 0.5 > left) & (torch.arange(width) + 0.5 < right)
    seen_y = (torch.arange(height) + 0.5 > top) & (torch.arange(height) + 0.5 < bottom)
    return landed.where(seen_y[:, None] & seen_x[None], torch.nan)


def scaled(heat: Tensor) -> Tensor:
    """For display: divided by its maximum, below zero cut off; all zero stays all zero. NaN stays NaN."""
    top = heat.nan_to_num(nan=0.0).clamp_min(0).amax((-2, -1), keepdim=True)
    return torch.where(top > 0, heat.clamp_min(0) / top, heat.clamp_min(0) * 0)
