"""Where a cue is: a region of the network input, the same in all images or of its own in each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida._optional import need
from camlucida.audits.hypotheses.arrays import AuditArrays
from camlucida.audits.hypotheses.candidates import Candidate, Indices
from camlucida.audits.map_statistics import BORDER_FRACTION
from camlucida.maps import upsample
from camlucida.types import Geometry

HALF = 0.5
"""A region holds the positions around the highest one with at least half of its value."""
MAX_SIDE, MIN_SIDE = 0.45, 0.08
"""Largest and smallest width and height of a region, as fractions of the network input."""
MAX_OVERLAP = 0.25
"""Largest fraction of the region that a control region covers."""
TRIES = 50

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the network input; right and bottom are exclusive."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The region of each image.

    Attributes:
        boxes: One box per image; for the border, the part of the input that shows the image.
        size: (height, width) of the network input.
        is_border: Whether the region is the outer tenth of the box, and not the box.
        visible: The part of each network input that shows the image, which regions at other positions lie in; empty
            for the whole input. The border of a letterbox is no part of the image, and covering it has no effect.
    """

    boxes: tuple[Box, ...]
    size: tuple[int, int]
    is_border: bool = False
    visible: tuple[Box, ...] = ()

    def masks(self) -> Tensor:
        """Return the regions as masks `(n, H, W)`, bool."""
        return torch.stack([box_mask(box, self.size, self.is_border) for box in self.boxes])

    def elsewhere(self, rng: np.random.Generator) -> Regions:
        """Return regions of the same size at other positions, at random; for the border the middle cross.

        The cross is the border, shifted by half the width and height with wrap-around: of the same area and shape.
        """
        if self.is_border:
            return self
        limits = self.visible or ((0, 0, self.size[1], self.size[0]),) * len(self.boxes)
        boxes = tuple(_other_box(box, limit, rng) for box, limit in zip(self.boxes, limits, strict=True))
        return Regions(boxes, self.size, visible=self.visible)

    def masks_elsewhere(self, rng: np.random.Generator) -> Tensor:
        """Return masks `(n, H, W)` of the same size at other positions, at random."""
        if not self.is_border:
            return self.elsewhere(rng).masks()
        masks = self.masks()
        for mask, (left, top, right, bottom) in zip(masks, self.boxes, strict=True):
            inside = mask[top:bottom, left:right]
            inside[:] = inside.roll(((bottom - top) // 2, (right - left) // 2), (0, 1))
        return masks


def box_mask(box: Box, size: tuple[int, int], is_border: bool = False) -> Tensor:
    """Return a box as a mask `(H, W)`, or the outer tenth of it."""
    left, top, right, bottom = box
    mask = torch.zeros(size, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    if is_border:
        dx, dy = round((right - left) * BORDER_FRACTION), round((bottom - top) * BORDER_FRACTION)
        mask[top + dy : bottom - dy, left + dx : right - dx] = False
    return mask


def locate(
    arrays: AuditArrays,
    candidate: Candidate,
    members: Indices,
    controls: Indices,
    size: tuple[int, int],
    own_maps: Callable[[], Tensor],
    visible: Callable[[Indices], Sequence[Box]],
) -> tuple[Regions, Regions]:
    """Return the region of a cue in each member, and of the strongest evidence in each control image.

    Fixed position: where the mean map of the members exceeds that of the others most, the same for all members. Any
    position: a box around the highest position of the channels that are particular to the members, in each member, of
    the size that is typical of them. In the control images it is a box of the same size around the highest position of
    their own map.

    Args:
        arrays: The audit.
        candidate: The group of images.
        members: Rows of members.
        controls: Rows of images of the same class that are not members.
        size: (height, width) of the network input.
        own_maps: Returns the map `(n, h, w)` of each member that shows a cue at any position.
        visible: Returns the part of the network input that shows the image, for each of some rows.
    """
    shown = tuple(visible(members))
    if candidate.kind == "border":
        return Regions(shown, size, True), Regions(tuple(visible(controls)), size, True)
    maps = arrays.maps(candidate.explained)
    rest = upsample(_distributions(maps[controls]), size)
    if candidate.kind == "fixed position":
        every = _distributions(maps[candidate.members]).mean(0)
        others = _distributions(maps[candidate.others])
        difference = every - others.mean(0) if len(others) else every
        box = half_maximum_box(upsample(difference[None], size)[0])
        boxes = [box] * len(members)
        width, height = box[2] - box[0], box[3] - box[1]
    else:
        own = upsample(own_maps(), size)
        around = [half_maximum_box(map_) for map_ in own]
        width = round(float(np.median([box[2] - box[0] for box in around])))
        height = round(float(np.median([box[3] - box[1] for box in around])))
        boxes = _boxes_at_peaks(own, width, height)
    return Regions(tuple(boxes), size, visible=shown), Regions(tuple(_boxes_at_peaks(rest, width, height)), size)


def half_maximum_box(map_: Tensor) -> Box:
    """Return the bounding box of the connected positions around the maximum with at least half of its value.

    Args:
        map_: `(H, W)`.
    """
    values = map_.double().numpy()
    row, column = (int(i) for i in np.unravel_index(int(values.argmax()), values.shape))
    labels, _ = need("scipy.ndimage", extra="analysis", what="locating a cue").label(
        values >= HALF * max(values[row, column], 1e-12)
    )
    inside = labels == labels[row, column] if labels[row, column] else labels < 0
    inside[row, column] = True
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    top, bottom = _limited(int(rows[0]), int(rows[-1]) + 1, row, values.shape[0])
    left, right = _limited(int(columns[0]), int(columns[-1]) + 1, column, values.shape[1])
    return left, top, right, bottom


def box_in_image(box: Box, geometry: Geometry) -> list[float]:
    """Return a box of the network input as left, top, right, bottom in fractions of the image."""
    (width, height), scale, offset = geometry.original, geometry.scale, geometry.offset
    corners = [
        (box[0] - offset[0]) / scale[0] / width,
        (box[1] - offset[1]) / scale[1] / height,
        (box[2] - offset[0]) / scale[0] / width,
        (box[3] - offset[1]) / scale[1] / height,
    ]
    return [round(min(1.0, max(0.0, corner)), 4) for corner in corners]


def _distributions(maps: NDArray[np.float16]) -> Tensor:
    """Return the positive parts of maps `(n, h, w)`, each divided by its sum; zero where there is none."""
    positive = torch.from_numpy(maps.astype(np.float32)).nan_to_num(nan=0.0).clamp_min(0)
    return positive / positive.sum((1, 2), keepdim=True).clamp_min(1e-12)


def _boxes_at_peaks(maps: Tensor, width: int, height: int) -> list[Box]:
    """Return a box of a size around the highest position of each map `(n, H, W)`, moved into the input."""
    boxes: list[Box] = []
    for map_ in maps:
        row, column = divmod(int(map_.argmax()), map_.shape[1])
        top = min(max(0, row - height // 2), map_.shape[0] - height)
        left = min(max(0, column - width // 2), map_.shape[1] - width)
        boxes.append((left, top, left + width, top + height))
    return boxes


def _limited(start: int, end: int, peak: int, n: int) -> tuple[int, int]:
    """Return a range with at least the smallest and at most the largest side of a region, around its peak."""
    shortest, longest = max(1, round(MIN_SIDE * n)), round(MAX_SIDE * n)
    length = min(max(end - start, shortest), longest)
    if length == end - start:
        return start, end
    first = min(max(0, peak - length // 2), n - length)
    return first, first + length


def _other_box(box: Box, limit: Box, rng: np.random.Generator) -> Box:
    """Return a box of the same size that overlaps with a box as little as required, or the least of all tries.

    Args:
        box: The box.
        limit: What the other box lies in. Where it is smaller than the box, both begin at the same edge.
        rng: Generator of the positions.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    best, least = box, float("inf")
    for _ in range(TRIES):
        left = limit[0] + int(rng.integers(max(1, limit[2] - limit[0] - width + 1)))
        top = limit[1] + int(rng.integers(max(1, limit[3] - limit[1] - height + 1)))
        other = (left, top, left + width, top + height)
        overlap = _intersection(box, other) / (width * height)
        if overlap < least:
            best, least = other, overlap
        if least <= MAX_OVERLAP:
            break
    return best


def _intersection(first: Sequence[int], second: Sequence[int]) -> int:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0, width) * max(0, height)
