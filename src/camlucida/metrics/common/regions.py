"""Regions of a map: connected components above a threshold, the largest of them, and their bounding boxes.

Boxes are left, top, right, bottom in pixels, right and bottom exclusive: pixel (x, y) has the box (x, y, x + 1, y + 1).
Pixels that touch, including at a corner, are connected (8 neighbours), as in the papers' code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida._optional import need
from camlucida.errors import MetricError, nearest
from camlucida.metrics.common.ranking import require_image

Rule: TypeAlias = Literal["component", "contour", "rectangle", "everything"]
"""Which region counts as "the largest segment", which the papers leave open.

"component": the connected component with the most pixels (the text of CAM and Grad-CAM).
"contour": the component whose outer contour, through the centres of its pixels, encloses the largest area (OpenCV's
`contourArea`; a line encloses nothing), as in the code of Choe et al. 2020.
"rectangle": the component whose bounding rectangle is largest, as in LayerCAM's localisation code.
"everything": all pixels above the threshold, connected or not.
"""

N_LEVELS = 255
"""Number of thresholds: 0/255, 1/255, ... 254/255 of the map's maximum."""
MAX_RUNS = 1_000_000
"""Runs of pixels processed together. It limits memory (100 bytes per run) and does not affect results."""

Ints = NDArray[np.int64]


def is_rankable(saliency: Tensor) -> bool:
    """Return whether a map localises anything: finite, not constant, and positive somewhere."""
    return bool(saliency.isfinite().all()) and bool(saliency.max() > 0) and bool(saliency.min() < saliency.max())


def threshold_map(display_map: Tensor, threshold: float) -> Tensor:
    """Return the mask `(height, width)` of pixels with at least `threshold` times the map's maximum."""
    require_image(display_map, "a metric of regions and boxes")
    return display_map >= threshold * display_map.max()


def components(inside: Tensor) -> Tensor:
    """Label connected components: `(height, width)` int64, 0 outside, then 1, 2, ... in reading order."""
    return torch.from_numpy(_label(inside.cpu().numpy(), corners=True))


def component_boxes(labels: Tensor) -> Tensor:
    """Return the boxes `(n, 4)` of the components labelled by `components`."""
    slices = need("scipy.ndimage", extra="analysis", what="finding regions of a map").find_objects(labels.numpy())
    boxes = [(across.start, down.start, across.stop, down.stop) for down, across in slices]
    return torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)


def largest_region(inside: Tensor, rule: Rule = "component") -> Tensor:
    """Return the mask `(height, width)` of the largest region of `inside`; among equals, the first.

    Args:
        inside: `(height, width)` bool mask.
        rule: Which region counts as the largest, see `Rule`.

    Raises:
        MetricError: For an unknown rule.
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
        sizes = areas(component_boxes(labels))
    else:
        pixels = labels.numpy()
        sizes = torch.tensor([enclosed_area(pixels == i + 1) for i in range(int(labels.max()))])
    return labels == int(sizes.argmax()) + 1


def largest_box(inside: Tensor, rule: Rule = "component") -> Tensor:
    """Return the box `(4,)` of the largest region; all zeros for an empty mask."""
    region = largest_region(inside, rule)
    return component_boxes(region.long())[0] if bool(region.any()) else torch.zeros(4, dtype=torch.float64)


def areas(boxes: Tensor) -> Tensor:
    """Return the areas `(n,)` of boxes `(n, 4)`."""
    return (boxes[:, 2] - boxes[:, 0]).clamp_min(0) * (boxes[:, 3] - boxes[:, 1]).clamp_min(0)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU (intersection over union) of boxes `(n, 4)` with boxes `(m, 4)`: `(n, m)`, 0 to 1."""
    corner = torch.maximum(first[:, None, :2], second[None, :, :2])
    intersection = (torch.minimum(first[:, None, 2:], second[None, :, 2:]) - corner).clamp_min(0).prod(-1)
    union = areas(first)[:, None] + areas(second)[None] - intersection
    return torch.where(union > 0, intersection / union.clamp_min(1e-300), 0.0)


def enclosed_area(inside: NDArray[np.bool_]) -> float:
    """Return the area that the outer contour of one component encloses, through the centres of its pixels.

    Holes are filled. Each square between four neighbouring centres counts 1 if all four are inside, and one half if
    three are.
    """
    outside = _label(np.pad(~inside, 1, constant_values=True), corners=False)
    filled = (outside != 1).astype(np.uint8)
    corners = filled[:-1, :-1] + filled[1:, :-1] + filled[:-1, 1:] + filled[1:, 1:]
    counts = np.bincount(corners.ravel(), minlength=5)
    return float(counts[4] + counts[3] / 2)


@dataclass(frozen=True)
class LevelComponents:
    """Connected components of a map at several levels, n in total.

    Attributes:
        level: `(n,)` each component belongs to the mask {saliency > level}.
        boxes: `(n, 4)` the bounding boxes.
        pixels: `(n,)` the number of pixels.
        first: `(n,)` the first pixel in reading order.
    """

    level: Ints
    boxes: Ints
    pixels: Ints
    first: Ints


def components_by_level(saliency: NDArray[np.uint8], *, corners: bool = True) -> Iterator[LevelComponents]:
    """Yield all connected components of {saliency > level} for every level from 0 to 254, in one or several groups.

    All levels are processed at once. A component is a set of runs, which are adjacent pixels in a row; run i of a level
    is joined to run j of the next row if they touch. A run begins at a pixel at all levels between its left neighbour
    and itself, so the number of runs is the total rise of the map along its rows, which is small for smooth maps.

    Args:
        saliency: `(height, width)` the map.
        corners: Whether pixels that only touch at a corner are connected.
    """
    low, high = int(saliency.min()), int(saliency.max())
    rises = int(np.clip(np.diff(saliency.astype(np.int64), axis=1, prepend=low), 0, None).sum()) + 1
    step = max(1, MAX_RUNS * max(high - low, 1) // rises)
    if low > 0:
        everything = np.array([[0, 0, saliency.shape[1], saliency.shape[0]]])
        yield LevelComponents(
            np.arange(low), everything.repeat(low, 0), np.full(low, saliency.size), np.zeros(low, dtype=np.int64)
        )
    for start in range(low, high, step):
        yield _level_components(np.clip(saliency, start, min(start + step, high)).astype(np.int64), start, corners)


def _level_components(saliency: Ints, lowest: int, corners: bool) -> LevelComponents:
    """Return the components of {saliency > level} for the levels from `lowest`, the minimum of the map."""
    height, width = saliency.shape
    # Level, row and column as one number; a spare row and column separate neighbours of different rows.
    stride, page = width + 2, (width + 2) * (height + 1)
    below = np.pad(saliency - lowest, ((0, 0), (1, 1)))
    steps = below[:, 1:] - below[:, :-1]
    begins = _run_positions(steps, below[:, :-1], stride, page)
    ends = _run_positions(-steps, below[:, 1:], stride, page)
    touch = 1 if corners else 0
    first_touching = np.searchsorted(ends, begins + stride + 1 - touch, "left")
    last_touching = np.searchsorted(begins, ends + stride - 1 + touch, "right")
    count = np.maximum(last_touching - first_touching, 0)
    upper = np.repeat(np.arange(len(begins)), count)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first_touching, count)
    sparse = need("scipy.sparse", extra="analysis", what="finding regions of a map")
    graph = need("scipy.sparse.csgraph", extra="analysis", what="finding regions of a map")
    adjacency = sparse.coo_array((np.ones(len(upper), dtype=bool), (upper, lower)), shape=(len(begins), len(begins)))
    number, labels = graph.connected_components(adjacency, directed=False)
    level, inside = np.divmod(begins, page)
    y, left = np.divmod(inside, stride)
    right = left + ends - begins
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(number))
    y, left, right, level = (values[order] for values in (y, left, right, level))
    boxes = (
        np.minimum.reduceat(left, starts),
        y[starts],
        np.maximum.reduceat(right, starts),
        np.maximum.reduceat(y, starts) + 1,
    )
    return LevelComponents(
        level[starts] + lowest,
        np.stack(boxes, axis=1),
        np.add.reduceat(right - left, starts),
        y[starts] * width + left[starts],
    )


def _run_positions(steps: Ints, base: Ints, stride: int, page: int) -> Ints:
    """Return the sorted positions where runs begin: one per level by which the map rises at (y, x) from `base`."""
    y, x = np.nonzero(steps > 0)
    count = steps[y, x]
    levels = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count - base[y, x], count)
    return np.sort(levels * page + np.repeat(y * stride + x, count))


def _label(inside: NDArray[Any], *, corners: bool) -> Ints:
    scipy = need("scipy.ndimage", extra="analysis", what="finding regions of a map")
    labels: Ints = np.empty(inside.shape, dtype=np.int64)
    scipy.label(inside, structure=np.ones((3, 3)) if corners else None, output=labels)
    return labels
