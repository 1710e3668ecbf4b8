"""Regions of a map: what hangs together above a threshold, the largest of it, the box round it.

Boxes are left, top, right, bottom in pixels, right and bottom exclusive: pixel (x, y) has the box (x, y, x + 1, y + 1).
Pixels that touch, be it at a corner, hang together (8 neighbours), as in the papers' code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida.errors import MetricError, nearest
from camlucida.extras import need

Rule: TypeAlias = Literal["component", "contour", "rectangle", "everything"]
"""What the largest region is, where the papers only say "the largest segment":

component   the connected component with most pixels                  (the text of CAM and Grad-CAM)
contour     the component whose outer contour, drawn through the centres of its pixels, encloses most (OpenCV's
            `contourArea`: a line encloses nothing)                    (the code of Choe et al. 2020)
rectangle   the component whose bounding rectangle is largest         (the code of LayerCAM's localisation)
everything  all that is above the threshold, connected or not
"""

LEVELS = 255
"""Thresholds that a map is cut at: 0/255, 1/255, ... 254/255 of its maximum."""
AT_ONCE = 1_000_000
"""Runs of pixels that are looked at together: decides about memory (100 bytes each), never about results."""

Ints = NDArray[np.int64]


def is_rankable(heat: Tensor) -> bool:
    """Whether a map says anything about places: it has finite values, not all the same, and some above zero."""
    return bool(heat.isfinite().all()) and bool(heat.max() > 0) and bool(heat.min() < heat.max())


def above(shown: Tensor, threshold: float) -> Tensor:
    """(height, width) bool: the pixels with at least `threshold` times the maximum of the map."""
    return shown >= threshold * shown.max()


def components(inside: Tensor) -> Tensor:
    """(height, width) int64: 0 outside, and 1, 2, ... for each connected component, in reading order."""
    return torch.from_numpy(_label(inside.cpu().numpy(), corners=True))


def boxes_of(labels: Tensor) -> Tensor:
    """(n, 4) the box of each component of `components`."""
    slices = need("scipy.ndimage", extra="analysis", what="finding regions of a map").find_objects(labels.numpy())
    found = [(across.start, down.start, across.stop, down.stop) for down, across in slices]
    return torch.tensor(found, dtype=torch.float64).reshape(-1, 4)


def largest_region(inside: Tensor, rule: Rule = "component") -> Tensor:
    """(height, width) bool: the largest region of `inside` by one of four rules; of equal ones the first.

    Raises `MetricError` for an unknown rule.
    """
    if rule not in get_args(Rule):
        known = get_args(Rule)
        raise MetricError(f"no rule {rule!r} for the largest region.{nearest(rule, known)} Known: {', '.join(known)}.")
    inside = inside.cpu()
    if rule == "everything" or not bool(inside.any()):
        return inside
    labels = components(inside)
    if rule == "component":
        sizes = torch.bincount(labels.flatten())[1:].double()
    elif rule == "rectangle":
        sizes = areas(boxes_of(labels))
    else:
        pixels = labels.numpy()
        sizes = torch.tensor([enclosed(pixels == i + 1) for i in range(int(labels.max()))])
    return labels == int(sizes.argmax()) + 1


def largest_box(inside: Tensor, rule: Rule = "component") -> Tensor:
    """(4,) the box of the largest region; all zero where nothing is inside."""
    region = largest_region(inside, rule)
    return boxes_of(region.long())[0] if bool(region.any()) else torch.zeros(4, dtype=torch.float64)


def areas(boxes: Tensor) -> Tensor:
    """(n,) of boxes (n, 4)."""
    return (boxes[:, 2] - boxes[:, 0]).clamp_min(0) * (boxes[:, 3] - boxes[:, 1]).clamp_min(0)


def iou(ours: Tensor, true: Tensor) -> Tensor:
    """Intersection over union of each of boxes (n, 4) with each of boxes (m, 4): (n, m) from 0 to 1."""
    corner = torch.maximum(ours[:, None, :2], true[None, :, :2])
    shared = (torch.minimum(ours[:, None, 2:], true[None, :, 2:]) - corner).clamp_min(0).prod(-1)
    union = areas(ours)[:, None] + areas(true)[None] - shared
    return torch.where(union > 0, shared / union.clamp_min(1e-300), 0.0)


def enclosed(inside: NDArray[np.bool_]) -> float:
    """What one component's outer contour encloses, drawn through the centres of its pixels.

    With its holes filled, each square between four neighbouring centres counts 1 if all four are inside, a half if
    three are.
    """
    outside = _label(np.pad(~inside, 1, constant_values=True), corners=False)
    filled = (outside != 1).astype(np.uint8)
    corners = filled[:-1, :-1] + filled[1:, :-1] + filled[:-1, 1:] + filled[1:, 1:]
    counts = np.bincount(corners.ravel(), minlength=5)
    return float(counts[4] + counts[3] / 2)


@dataclass(frozen=True)
class Found:
    """Connected components of a map at several levels, n in all.

    level   (n,) the component is one of {heat > level}
    boxes   (n, 4)
    pixels  (n,) how many it has
    first   (n,) its first pixel in reading order
    """

    level: Ints
    boxes: Ints
    pixels: Ints
    first: Ints


def components_by_level(heat: NDArray[np.uint8], *, corners: bool = True) -> Iterator[Found]:
    """All connected components of {heat > level} for every level from 0 to 254, in one or several lots.

    corners   whether pixels that only touch at a corner hang together

    All levels at once: a component is a set of runs, pixels side by side in a row, and run i of a level is tied to
    run j of the next row where they touch. A run begins at a pixel at all levels between its left neighbour and itself,
    so there are as many runs as the map rises along its rows: few for smooth maps.
    """
    low, high = int(heat.min()), int(heat.max())
    rises = int(np.clip(np.diff(heat.astype(np.int64), axis=1, prepend=low), 0, None).sum()) + 1
    step = max(1, AT_ONCE * max(high - low, 1) // rises)
    if low > 0:
        everything = np.array([[0, 0, heat.shape[1], heat.shape[0]]])
        yield Found(np.arange(low), everything.repeat(low, 0), np.full(low, heat.size), np.zeros(low, dtype=np.int64))
    for start in range(low, high, step):
        yield _found(np.clip(heat, start, min(start + step, high)).astype(np.int64), start, corners)


def _found(heat: Ints, lowest: int, corners: bool) -> Found:
    """The components of {heat > level} for the levels from `lowest`, which heat has nowhere less than."""
    height, width = heat.shape
    # A place in a row of a level as one number; a spare row and column keep neighbours of different rows apart.
    stride, page = width + 2, (width + 2) * (height + 1)
    below = np.pad(heat - lowest, ((0, 0), (1, 1)))
    steps = below[:, 1:] - below[:, :-1]
    begins = _places(steps, below[:, :-1], stride, page)
    ends = _places(-steps, below[:, 1:], stride, page)
    touch = 1 if corners else 0
    under = np.searchsorted(ends, begins + stride + 1 - touch, "left")
    beyond = np.searchsorted(begins, ends + stride - 1 + touch, "right")
    count = np.maximum(beyond - under, 0)
    upper = np.repeat(np.arange(len(begins)), count)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(under, count)
    sparse = need("scipy.sparse", extra="analysis", what="finding regions of a map")
    graph = need("scipy.sparse.csgraph", extra="analysis", what="finding regions of a map")
    ties = sparse.coo_array((np.ones(len(upper), dtype=bool), (upper, lower)), shape=(len(begins), len(begins)))
    number, labels = graph.connected_components(ties, directed=False)
    level, inside = np.divmod(begins, page)
    y, left = np.divmod(inside, stride)
    right = left + ends - begins
    order = np.argsort(labels, kind="stable")
    heads = np.searchsorted(labels[order], np.arange(number))
    y, left, right, level = (values[order] for values in (y, left, right, level))
    boxes = (
        np.minimum.reduceat(left, heads),
        y[heads],
        np.maximum.reduceat(right, heads),
        np.maximum.reduceat(y, heads) + 1,
    )
    return Found(
        level[heads] + lowest,
        np.stack(boxes, axis=1),
        np.add.reduceat(right - left, heads),
        y[heads] * width + left[heads],
    )


def _places(steps: Ints, base: Ints, stride: int, page: int) -> Ints:
    """Where runs begin, in order: at (y, x) where the map steps up by n from `base`, one at each of the n levels."""
    y, x = np.nonzero(steps > 0)
    count = steps[y, x]
    levels = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count - base[y, x], count)
    return np.sort(levels * page + np.repeat(y * stride + x, count))


def _label(inside: NDArray[Any], *, corners: bool) -> Ints:
    scipy = need("scipy.ndimage", extra="analysis", what="finding regions of a map")
    found: Ints = np.empty(inside.shape, dtype=np.int64)
    scipy.label(inside, structure=np.ones((3, 3)) if corners else None, output=found)
    return found
