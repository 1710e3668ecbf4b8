"""How well boxes of the map fit the object at every threshold: what MaxBoxAcc is pooled from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from camlucida.errors import MetricError, nearest
from camlucida.metrics.parts.regions import LEVELS, Found, components, components_by_level, enclosed, iou, is_rankable
from camlucida.metrics.registry import DatasetReduction, Score

Protocol: TypeAlias = Literal["picture", "choe2020"]
"""How boxes are made and compared:

picture   on the original picture: what is at least 1/255, 2/255, ... 255/255 of the map's maximum; connected
          components, the largest by pixels; right and bottom exclusive
choe2020  as the code of Choe et al. has it, with its quirks: the map with its negative part, bicubic on the network's
          input and stretched from its minimum to its maximum, as whole numbers 0..255 (cut off), strictly above 0, 1,
          ... 254; contours, holes as well, the largest by the area it encloses; true boxes cut to whole numbers; boxes
          one pixel wider than what they enclose, except at the border, and all widths with one more pixel
"""


def box_curve(
    shown: Tensor, boxes: Tensor, raw: Tensor, boxes_seen: Tensor, inputs: Tensor, protocol: Protocol, *, every: bool
) -> Score:
    """(255,) the best intersection over union with a true box at each threshold, and the best of them.

    every   all regions of the map are tried, and the best one counts; else only the largest
    """
    if protocol not in get_args(Protocol):
        names = get_args(Protocol)
        raise MetricError(f"no protocol {protocol!r}.{nearest(protocol, names)} Known: {', '.join(names)}.")
    if protocol == "choe2020":
        size = (int(inputs.shape[-2]), int(inputs.shape[-1]))
        curve = choe2020_curve(minmax_scale(raw, size), boxes_seen, every=every)
        known = is_rankable(raw - raw.min())
    else:
        known = is_rankable(shown)
        curve = image_curve(shown, boxes, every=every) if known else torch.zeros(LEVELS, dtype=torch.float64)
    return Score(float(curve.max()) if known else float("nan"), curve)


AXES = ("threshold, as a share of the map's maximum", "overlap of the map's box with the object (IoU)")


def best_hits(overlaps: Sequence[float]) -> DatasetReduction:
    """MaxBoxAcc of curves (n, 255): the share of hits at the best threshold, as a mean over overlaps."""

    def hits(curves: Tensor) -> Tensor:
        kept = curves.float()  # as they are kept: an overlap of 0.7 must be met by 7/10 in the same precision
        return torch.cat([(kept >= torch.tensor(overlap)).double() for overlap in overlaps], dim=1)

    def best(shares: Tensor) -> Tensor:
        found: Tensor = shares.view(*shares.shape[:-1], len(overlaps), -1).amax(-1).mean(-1)
        return found

    return DatasetReduction(hits, best)


def image_curve(shown: Tensor, boxes: Tensor, *, every: bool) -> Tensor:
    """(255,) the best overlap at thresholds 1/255, ... 255/255 of the maximum, boxes right and bottom exclusive."""
    heat = (255 * shown.double() / shown.max().double()).floor().to(torch.uint8).cpu().numpy()
    curve = np.zeros(LEVELS)
    for found in components_by_level(heat):
        which = np.arange(len(found.level)) if every else _largest(found, found.pixels)
        _raise(curve, found.level[which], iou(torch.from_numpy(found.boxes[which]).double(), boxes.double()))
    return torch.from_numpy(curve)


def minmax_scale(raw: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    """A raw map (h, w) as Choe et al. prepare it: bicubic to `size`, its minimum 0, its maximum 1; constant is 0."""
    heat = raw.float().cpu()
    if bool(heat.min() == heat.max()):
        return np.zeros(size, dtype=np.float32)  # before resizing: the rounding errors must not be stretched
    if tuple(heat.shape) != size:
        heat = F.interpolate(heat[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]
    made: NDArray[np.float32] = heat.numpy()
    if np.isnan(made).any() or made.min() == made.max():
        return np.zeros_like(made)
    made = made - made.min()
    scaled: NDArray[np.float32] = made / made.max()
    return scaled


def choe2020_curve(scores: NDArray[np.float32], boxes: Tensor, *, every: bool) -> Tensor:
    """(255,) the best overlap at thresholds above 0, 1, ... 254 of 255, as the code of Choe et al. has it.

    scores  (H, W) in [0, 1]
    boxes   (n, 4) true boxes at the same size, not yet whole numbers
    """
    heat = (scores * 255).astype(np.uint8)
    height, width = heat.shape
    # A box that should be whole may lie a rounding error below it.
    true = (boxes.double() + 1e-6).floor() + torch.tensor([0, 0, 1, 1])
    nothing = torch.tensor([[0, 0, 1, 1]], dtype=torch.float64)
    curve = np.zeros(LEVELS)
    curve[heat.max() :] = float(iou(nothing, true).max())

    def compare(level: NDArray[np.int64], found: NDArray[np.int64]) -> None:
        ends = np.minimum(found[:, 2:], [width - 1, height - 1]) + 1
        _raise(curve, level, iou(torch.from_numpy(np.concatenate([found[:, :2], ends], axis=1)).double(), true))

    for found in components_by_level(heat):
        which = np.arange(len(found.level)) if every else _most_enclosing(heat, found)
        compare(found.level[which], found.boxes[which])
    if every:
        for holes in components_by_level(255 - heat, corners=False):
            left, top, right, bottom = holes.boxes.T
            inner = (left > 0) & (top > 0) & (right < width) & (bottom < height) & (holes.level < LEVELS)
            # The contour of a hole runs through the pixels round it.
            compare(254 - holes.level[inner], holes.boxes[inner] + [-1, -1, 1, 1])
    return torch.from_numpy(curve)


def _raise(curve: NDArray[np.float64], level: NDArray[np.int64], overlaps: Tensor) -> None:
    """Let the curve at each level be at least the best of the overlaps (n, boxes) found there."""
    if len(level):
        np.maximum.at(curve, level, overlaps.amax(1).numpy())


def _largest(found: Found, size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which components are the largest of their level; of equal ones the first in reading order."""
    order = np.lexsort((found.first, -size, found.level))
    starts = np.diff(found.level[order], prepend=-1) > 0
    which: NDArray[np.int64] = order[starts]
    return which


def _most_enclosing(heat: NDArray[np.uint8], found: Found) -> NDArray[np.int64]:
    """Which components enclose most at their level; of equal ones the last in reading order, as OpenCV lists them."""
    left, top, right, bottom = found.boxes.T
    most = (right - left - 1) * (bottom - top - 1)  # a contour encloses no more than its box
    order = np.lexsort((-found.first, -most, found.level))
    starts = np.flatnonzero(np.diff(found.level[order], prepend=-1) > 0)
    chosen = []
    for competing_classes in np.split(order, starts[1:]):
        best = competing_classes[0]
        if len(competing_classes) > 1 and most[competing_classes[1]] > 0:
            best = max(_by_area(heat, found, competing_classes, most))[2]
        chosen.append(best)
    return np.array(chosen, dtype=np.int64)


def _by_area(
    heat: NDArray[np.uint8], found: Found, competing_classes: NDArray[np.int64], most: NDArray[np.int64]
) -> list[tuple[float, int, int]]:
    """(enclosed area, first pixel, which) of rivals, the widest boxes first, until none can win any more."""
    known: list[tuple[float, int, int]] = []
    for i in competing_classes:
        if known and most[i] < max(known)[0]:
            break
        left, top, right, bottom = found.boxes[i]
        labels = components(torch.from_numpy(heat[top:bottom, left:right] > found.level[i])).numpy()
        x = found.first[i] % heat.shape[1] - left
        known.append((enclosed(labels == labels[0, x]), int(found.first[i]), int(i)))
    return known
