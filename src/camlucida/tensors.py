"""Maths on maps: from a layer's grid to the network's input and to the original picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.types import Display, Geometry


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (b, h, w) at another size (height, width): bilinear, half-pixel centres, as the papers have it."""
    at_least_float32 = maps[:, None].to(torch.promote_types(maps.dtype, torch.float32))
    return F.interpolate(at_least_float32, size=size, mode="bilinear", align_corners=False)[:, 0]


def land(map_: Tensor, geometry: Geometry) -> Tensor:
    """One map (h, w) on the original picture: (height, width), NaN where the network did not look.

    First up to the network's input, then through the recorded resize, crop or letterbox, both bilinear.
    """
    (width, height), (input_width, input_height) = geometry.original, geometry.input
    at_input = upsample(map_[None].float(), (input_height, input_width))
    x = (torch.arange(width) + 0.5) * geometry.scale[0] + geometry.offset[0]
    y = (torch.arange(height) + 0.5) * geometry.scale[1] + geometry.offset[1]
    across, down = 2 * x / input_width - 1, 2 * y / input_height - 1
    grid = torch.stack([across.expand(height, width), down[:, None].expand(height, width)], dim=-1)
    landed = F.grid_sample(
        at_input[None].cpu(), grid[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0, 0]
    left, top, right, bottom = geometry.seen
    seen_x, seen_y = _seen(width, left, right), _seen(height, top, bottom)
    return landed.where(seen_y[:, None] & seen_x[None], torch.nan)


def _seen(count: int, start: float, end: float) -> Tensor:
    """Which of `count` pixels have their centre between `start` and `end`; at least the one in the middle of it."""
    centres = torch.arange(count) + 0.5
    seen = (centres > start) & (centres < end)
    return seen if bool(seen.any()) else torch.arange(count) == min(int((start + end) / 2), count - 1)


def scaled(heat: Tensor) -> Tensor:
    """For display: divided by its maximum, below zero cut off; all zero stays all zero. NaN stays NaN."""
    top = heat.nan_to_num(nan=0.0).clamp_min(0).amax((-2, -1), keepdim=True)
    return torch.where(top > 0, heat.clamp_min(0) / top, heat.clamp_min(0) * 0)


def full_colour(heat: Tensor, display: Display) -> float:
    """The value of one map, whatever its shape, that gets the full colour; 0 where there is nothing to show."""
    seen = heat[~heat.isnan()]
    sizes = seen.abs() if display.signed else seen.clamp_min(0)
    if not len(sizes):
        return 0.0
    rank = max(1, round(display.percentile / 100 * len(sizes)))
    top = float(sizes.max() if rank == len(sizes) else sizes.kthvalue(rank).values)
    return top or float(sizes.max())  # so sparse a map that the percentile is 0


def shown(heat: Tensor, top: float, *, signed: bool) -> Tensor:
    """For display, one map in [0, 1]: what is `top` or more becomes 1. Signed, 0.5 is zero and -top becomes 0."""
    share = heat / top if top else heat * 0
    return (share.clamp(-1, 1) + 1) / 2 if signed else share.clamp(0, 1)
