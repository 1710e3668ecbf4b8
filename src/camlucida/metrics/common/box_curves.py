"""IoU of a map's boxes with the true boxes at every threshold: the basis of MaxBoxAcc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from camlucida.errors import MetricError, nearest
from camlucida.metrics.common.ranking import require_image
from camlucida.metrics.common.regions import (
    N_LEVELS,
    LevelComponents,
    components,
    components_by_level,
    enclosed_area,
    iou,
    is_rankable,
)
from camlucida.metrics.registry import DatasetReduction, Score

Protocol: TypeAlias = Literal["image", "choe2020"]
"""How boxes are extracted and compared.

"image": on the original image. Thresholds are 1/255, 2/255, ... 255/255 of the map's maximum, inclusive; regions are
connected components and the largest has the most pixels; right and bottom are exclusive.

"choe2020": as in the code of Choe et al., including its particularities. The signed map is resized bicubically to the
network input, min-max scaled and truncated to integers 0..255; thresholds are strictly above 0, 1, ... 254. Regions are
contours, including those of holes, and the largest encloses the largest area. True boxes are truncated to integers.
Boxes are one pixel wider than what they enclose, except at the border, and all widths count one more pixel.
"""


def box_curve(
    display_map: Tensor,
    boxes: Tensor,
    raw: Tensor,
    input_boxes: Tensor,
    inputs: Tensor,
    protocol: Protocol,
    *,
    all_regions: bool,
) -> Score:
    """Compute the best IoU with a true box at each threshold.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        boxes: `(n, 4)` the true boxes on the original image.
        raw: `(h, w)` the signed map at layer resolution.
        input_boxes: `(n, 4)` the true boxes on the network input.
        inputs: `(c, H, W)` the network input, for its size.
        protocol: How boxes are extracted, see `Protocol`.
        all_regions: Whether all regions of the map are tried and the best one counts; otherwise only the largest.

    Returns:
        The curve `(255,)` over thresholds, and its maximum as the value; NaN for a map that cannot be ranked.

    Raises:
        MetricError: For an unknown protocol.
    """
    require_image(raw, "a metric of boxes")
    if protocol not in get_args(Protocol):
        names = get_args(Protocol)
        raise MetricError(f"no protocol {protocol!r}.{nearest(protocol, names)} Known: {', '.join(names)}.")
    if protocol == "choe2020":
        size = (int(inputs.shape[-2]), int(inputs.shape[-1]))
        curve = choe2020_curve(minmax_scale(raw, size), input_boxes, all_regions=all_regions)
        valid = is_rankable(raw - raw.min())
    else:
        valid = is_rankable(display_map)
        curve = (
            image_curve(display_map, boxes, all_regions=all_regions)
            if valid
            else torch.zeros(N_LEVELS, dtype=torch.float64)
        )
    return Score(float(curve.max()) if valid else float("nan"), curve)


AXES = ("threshold as a fraction of the map's maximum", "IoU of the map's box with the object")


def max_box_acc_reduction(overlaps: Sequence[float]) -> DatasetReduction:
    """Return the reduction from IoU curves `(n, 255)` to MaxBoxAcc, averaged over several IoU thresholds.

    Args:
        overlaps: The IoU values from which a box counts as a hit.

    Returns:
        A reduction that computes, for each IoU, the hit rate at the best map threshold, and averages over the IoUs.
    """

    def hits(curves: Tensor) -> Tensor:
        float_curves = curves.float()  # the stored precision: 7/10 must satisfy an overlap of 0.7
        return torch.cat(
            [(float_curves >= torch.tensor(overlap, dtype=torch.float32)).double() for overlap in overlaps], dim=1
        )

    def best(hit_rates: Tensor) -> Tensor:
        best_rates: Tensor = hit_rates.view(*hit_rates.shape[:-1], len(overlaps), -1).amax(-1).mean(-1)
        return best_rates

    return DatasetReduction(hits, best)


def image_curve(display_map: Tensor, boxes: Tensor, *, all_regions: bool) -> Tensor:
    """Compute the best IoU `(255,)` at thresholds 1/255, ... 255/255 of the maximum.

    Boxes are right and bottom exclusive.
    """
    saliency = (255 * display_map.double() / display_map.max().double()).floor().to(torch.uint8).cpu().numpy()
    curve = np.zeros(N_LEVELS)
    for level_components in components_by_level(saliency):
        indices = (
            np.arange(len(level_components.level))
            if all_regions
            else _largest(level_components, level_components.pixels)
        )
        _raise_curve(
            curve,
            level_components.level[indices],
            iou(torch.from_numpy(level_components.boxes[indices]).double(), boxes.double()),
        )
    return torch.from_numpy(curve)


def minmax_scale(raw: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    """Scale a raw map `(h, w)` as Choe et al. do: bicubic resize to `size`, then min-max; a constant map becomes 0."""
    saliency = raw.float().cpu()
    if bool(saliency.min() == saliency.max()):
        return np.zeros(size, dtype=np.float32)  # before resizing, so that rounding errors are not scaled up
    if tuple(saliency.shape) != size:
        saliency = F.interpolate(saliency[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]
    resized: NDArray[np.float32] = saliency.numpy()
    if np.isnan(resized).any() or resized.min() == resized.max():
        return np.zeros_like(resized)
    resized = resized - resized.min()
    normalized: NDArray[np.float32] = resized / resized.max()
    return normalized


def choe2020_curve(scores: NDArray[np.float32], boxes: Tensor, *, all_regions: bool) -> Tensor:
    """Compute the best IoU at thresholds above 0, 1, ... 254 of 255, as the code of Choe et al. does.

    Args:
        scores: `(H, W)` the map with values in [0, 1].
        boxes: `(n, 4)` true boxes at the same size, not yet truncated to integers.
        all_regions: Whether all regions are tried; otherwise only the one that encloses the largest area.

    Returns:
        The curve `(255,)`.
    """
    saliency = (scores * 255).astype(np.uint8)
    height, width = saliency.shape
    # A coordinate that should be an integer may be a rounding error below it.
    true = (boxes.double() + 1e-6).floor() + torch.tensor([0, 0, 1, 1])
    empty_box = torch.tensor([[0, 0, 1, 1]], dtype=torch.float64)
    curve = np.zeros(N_LEVELS)
    curve[saliency.max() :] = float(iou(empty_box, true).max())

    def compare(level: NDArray[np.int64], found_boxes: NDArray[np.int64]) -> None:
        ends = np.minimum(found_boxes[:, 2:], [width - 1, height - 1]) + 1
        _raise_curve(
            curve, level, iou(torch.from_numpy(np.concatenate([found_boxes[:, :2], ends], axis=1)).double(), true)
        )

    for level_components in components_by_level(saliency):
        indices = np.arange(len(level_components.level)) if all_regions else _most_enclosing(saliency, level_components)
        compare(level_components.level[indices], level_components.boxes[indices])
    if all_regions:
        for holes in components_by_level(255 - saliency, corners=False):
            left, top, right, bottom = holes.boxes.T
            inner = (left > 0) & (top > 0) & (right < width) & (bottom < height) & (holes.level < N_LEVELS)
            # The contour of a hole runs through the pixels around it.
            compare(254 - holes.level[inner], holes.boxes[inner] + [-1, -1, 1, 1])
    return torch.from_numpy(curve)


def _raise_curve(curve: NDArray[np.float64], level: NDArray[np.int64], overlaps: Tensor) -> None:
    """Raise the curve at each level to the best of the IoUs `(n, boxes)` measured at that level."""
    if len(level):
        np.maximum.at(curve, level, overlaps.amax(1).numpy())


def _largest(candidates: LevelComponents, size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of the largest component per level; among equals, the first in reading order."""
    order = np.lexsort((candidates.first, -size, candidates.level))
    starts = np.diff(candidates.level[order], prepend=-1) > 0
    indices: NDArray[np.int64] = order[starts]
    return indices


def _most_enclosing(saliency: NDArray[np.uint8], candidates: LevelComponents) -> NDArray[np.int64]:
    """Return the indices of the component per level that encloses the largest area.

    Among equals it is the last in reading order, the order in which OpenCV lists contours.
    """
    left, top, right, bottom = candidates.boxes.T
    max_areas = (right - left - 1) * (bottom - top - 1)  # a contour encloses no more than its box
    order = np.lexsort((-candidates.first, -max_areas, candidates.level))
    starts = np.flatnonzero(np.diff(candidates.level[order], prepend=-1) > 0)
    chosen = []
    for competing_classes in np.split(order, starts[1:]):
        best = competing_classes[0]
        if len(competing_classes) > 1 and max_areas[competing_classes[1]] > 0:
            best = max(_by_area(saliency, candidates, competing_classes, max_areas))[2]
        chosen.append(best)
    return np.array(chosen, dtype=np.int64)


def _by_area(
    saliency: NDArray[np.uint8],
    candidates: LevelComponents,
    competing_classes: NDArray[np.int64],
    max_areas: NDArray[np.int64],
) -> list[tuple[float, int, int]]:
    """Measure the enclosed area of candidate components, widest box first, until none can win any more.

    Returns:
        Tuples of enclosed area, first pixel and component index.
    """
    measured: list[tuple[float, int, int]] = []
    for i in competing_classes:
        if measured and max_areas[i] < max(measured)[0]:
            break
        left, top, right, bottom = candidates.boxes[i]
        labels = components(torch.from_numpy(saliency[top:bottom, left:right] > candidates.level[i])).numpy()
        x = candidates.first[i] % saliency.shape[1] - left
        measured.append((enclosed_area(labels == labels[0, x]), int(candidates.first[i]), int(i)))
    return measured
