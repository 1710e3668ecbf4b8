"""Whether the map of one region of a segmented image lies in that region's object, or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from camlucida.models.segmentation.targets import connected_part, connected_parts
from camlucida.types import PredictedClasses, Region

if TYPE_CHECKING:
    from camlucida.attribution.explanation import Explanation

CHANNEL_METHODS = frozenset({"grad_cam", "grad_cam_plusplus", "xgrad_cam"})
"""Methods whose weights are those of channels, so that a map is high wherever in the image a channel is.

Of one of two objects of a class, 0 to 33 % of their maps have the majority in it, and 100 % of those of hires_cam
(benchmarks/region_methods.py).
"""
MAX_CELLS = 128
"""Largest number of pixels along a side that are evaluated, at even distances."""
MIN_IN_OBJECT = 0.5
"""Fraction of the map's positive part in the object below which there is a remark."""
POINT_RADIUS = 1 / 8
"""What counts as near a point at which no object is predicted, as a fraction of the shorter side of the image."""


def region_remark(explanation: Explanation) -> str:
    """Return a remark on a map that lies mostly outside the object of its region; "" for others.

    The object of a region is every connected part of its class that it touches; that of a point at which the class is
    not predicted is the connected part of what is, or the surroundings of a point of the background. Regions beside
    which their class has no other part need no remark.
    """
    region = explanation.region
    if region is None or region.classes is None or explanation.method not in CHANNEL_METHODS:
        return ""
    step = -(-max(explanation.landed.shape) // MAX_CELLS)
    own, has_others = _object_of(region, region.classes, step)
    if not has_others or own is None:
        return ""
    saliency = torch.from_numpy(explanation.landed).nan_to_num().clamp_min(0)[::step, ::step]
    total = float(saliency.sum())
    fraction = float(saliency[own].sum()) / total if total else 1.0
    if fraction >= MIN_IN_OBJECT:
        return ""
    where = "at the point" if region.point is not None else "in the object of the region"
    return (
        f"Only {fraction:.0%} of the map lies {where}: {explanation.method} weights channels, not positions, and shows "
        "other parts of the image. Use hires_cam."
    )


def _object_of(region: Region, classes: PredictedClasses, step: int) -> tuple[Tensor | None, bool]:
    """Return the pixels of the object of a region, and whether the map may lie in others instead.

    Args:
        region: The region, in pixels of the image.
        classes: The predicted classes.
        step: Distance of the pixels that are evaluated.
    """
    indices = classes.indices[::step, ::step]
    if region.point is not None:
        height, width = indices.shape
        x, y = (value / step for value in region.point)
        row, column = min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)
        found = int(indices[row, column])
        if found not in (-1, classes.background):
            return connected_part(indices == found, row, column), True
        down, across = torch.arange(height)[:, None] + 0.5 - y, torch.arange(width)[None] + 0.5 - x
        return torch.hypot(down, across) <= POINT_RADIUS * min(height, width), True
    if region.mask is None or region.index is None:
        return None, False
    of_class = indices == region.index
    mask = F.max_pool2d(region.mask[None].float(), step, ceil_mode=True)[0] > 0
    own = connected_parts(of_class, mask) | mask
    return own, bool((of_class & ~own).any())
