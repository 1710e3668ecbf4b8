"""Rendering of scenes: each patch of colour is drawn once, as an index, from which colours and masks are read.

The indices are drawn at twice the size, so each pixel of the image has four samples: its colour is their mean, and it
belongs to an object if at least two of them do. Image and masks are therefore always consistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from camlucida.data.toybox.background import background, clutter
from camlucida.data.toybox.curves import Points, Shape, box, ellipse, ring
from camlucida.data.toybox.kinds import Kind
from camlucida.data.toybox.palette import RGB, ObjectColours

_OVERSAMPLING = 2  # samples along each side of a pixel
_MIN_SAMPLES = 2  # of the four samples: a pixel belongs to what covers at least half of it

# The stamp: a framed camera, seen from the front. It is constant, so that it is easy to learn.
STAMP: tuple[Shape, ...] = (
    ring("white", 0.0, 0.12, 0.36, 0.36, 0.16, rim=0),
    ellipse("white", 0.0, 0.12, 0.13, 0.13, rim=0),
    box("white", -0.96, -0.44, 0.96, -0.30, rim=0),
    box("white", -0.96, 0.66, 0.96, 0.80, rim=0),
    box("white", -0.96, -0.44, -0.82, 0.80, rim=0),
    box("white", 0.82, -0.44, 0.96, 0.80, rim=0),
    box("white", -0.30, -0.68, 0.30, -0.40, rim=0),
    box("white", 0.52, -0.20, 0.72, 0.0, rim=0),
)


@dataclass(frozen=True)
class _Layer:
    """One outline of a kind: its part, its colour role, and the range of its corners in the array of all corners."""

    part: str
    role: str
    start: int
    stop: int


@cache
def _layers(kind: Kind) -> tuple[Points, tuple[_Layer, ...]]:
    """Return all corners of a kind in one `(n, 2)` array, and its outlines from back to front."""
    outlines: list[tuple[str, str, Points]] = []
    for part in kind.parts:
        outlines += [(part.name, "line", s.rim) for s in part.shapes if s.rim is not None]
        outlines += [(part.name, s.role, s.points) for s in part.shapes]
    stops = np.cumsum([len(points) for _, _, points in outlines]).tolist()
    layers = tuple(
        _Layer(name, role, stop - len(points), stop) for (name, role, points), stop in zip(outlines, stops, strict=True)
    )
    return np.concatenate([points for _, _, points in outlines]), layers


class Canvas:
    """A scene during rendering: objects are added from back to front, then image and masks are computed."""

    def __init__(self, size: int, seed: int, patches: int) -> None:
        self._size = size
        self._seed = seed
        self._colours: list[RGB] = [(0, 0, 0)]  # index 0 is the background
        self._groups: list[int] = [0]  # part of each index, counted over all objects; 0 for none
        self._object_groups: list[range] = []  # the groups of each object
        self._polygons: list[tuple[list[float], int]] = []
        self._stamp: tuple[NDArray[np.float32], float] | None = None
        self._index_map: NDArray[np.integer] | None = None
        scale = float(size * _OVERSAMPLING)
        for points, colour in clutter(seed, patches):
            self._polygons.append(((points * scale).ravel().tolist(), self._add_patch(colour, 0)))

    def add(
        self,
        kind: Kind,
        parts: tuple[str, ...],
        centre: tuple[float, float],
        half_size: float,
        angle: float,
        flip: bool,
        colours: ObjectColours,
    ) -> None:
        """Add an object on top, with only the named parts; centre and half extent are fractions of the frame."""
        points, layers = _layers(kind)
        corners = _transform_points(points, centre, half_size, angle, flip, self._size * _OVERSAMPLING)
        first = self._object_groups[-1].stop if self._object_groups else 1
        self._object_groups.append(range(first, first + len(parts)))
        numbers: dict[tuple[str, str], int] = {}
        for layer in layers:
            if layer.part not in parts:
                continue
            key = (layer.part, layer.role)
            if key not in numbers:
                numbers[key] = self._add_patch(colours.of(layer.role), first + parts.index(layer.part))
            self._polygons.append((corners[2 * layer.start : 2 * layer.stop], numbers[key]))

    def stamp(self, centre: tuple[float, float], half_size: float, opacity: float) -> None:
        """Draw the watermark over everything."""
        side = self._size * _OVERSAMPLING
        layer = Image.new("L", (side, side), 0)
        pen = ImageDraw.Draw(layer)
        for shape in STAMP:
            pen.polygon(_transform_points(shape.points, centre, half_size, 0.0, False, side), fill=1)
        covered = _samples(np.asarray(layer)).sum(axis=0, dtype=np.uint8)
        self._stamp = covered.astype(np.float32) / _OVERSAMPLING**2, opacity

    def image(self) -> Image.Image:
        """Return the rendered image, RGB."""
        numbers = self._rendered_indices()
        paint = np.zeros((len(self._colours), 4), np.uint16)
        paint[:, :3] = self._colours
        paint[1:, 3] = 1
        samples = _samples(numbers)
        painted = (paint[samples[0]] + paint[samples[1]]) + (paint[samples[2]] + paint[samples[3]])
        visible_background = background(self._seed, self._size) * (_OVERSAMPLING**2 - painted[..., 3:]).astype(
            np.float32
        )
        image = (visible_background + painted[..., :3]) / np.float32(_OVERSAMPLING**2)
        if self._stamp is not None:
            covered, opacity = self._stamp
            image += (np.float32(255) - image) * (covered * np.float32(opacity))[:, :, None]
        return Image.fromarray(np.rint(image).astype(np.uint8))

    def masks(self) -> NDArray[np.bool_]:
        """Return the visible pixels of each object, `(n, h, w)`. Ties go to the object in front."""
        object_of_group = np.zeros(self._object_groups[-1].stop if self._object_groups else 1, np.uint16)
        for index, groups in enumerate(self._object_groups):
            object_of_group[groups.start : groups.stop] = index + 1
        owner = _samples(object_of_group[np.array(self._groups)][self._rendered_indices()])
        masks = np.zeros((len(self._object_groups), self._size, self._size), np.bool_)
        taken = np.zeros((self._size, self._size), np.bool_)
        for index in reversed(range(len(self._object_groups))):
            masks[index] = _majority(owner == index + 1) & ~taken
            taken |= masks[index]
        return masks

    def parts(self, index: int, mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """Return the visible pixels of each drawn part, `(h, w)`, inside the mask of the object."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        masks = [np.zeros_like(mask) for _ in self._object_groups[index]]
        if rows.size:  # restrict the work to the bounding box of the object
            window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            wide = tuple(slice(s.start * _OVERSAMPLING, s.stop * _OVERSAMPLING) for s in window)
            group = _samples(np.array(self._groups, np.uint16)[self._rendered_indices()[wide]])
            for part_mask, part_group in zip(masks, self._object_groups[index], strict=True):
                part_mask[window] = _majority(group == part_group) & mask[window]
        return masks

    def watermark_mask(self) -> NDArray[np.bool_] | None:
        """Return the pixels that the stamp changes, `(h, w)`; None without a stamp."""
        return None if self._stamp is None else self._stamp[0] > 0

    def _add_patch(self, colour: RGB, group: int) -> int:
        self._colours.append(colour)
        self._groups.append(group)
        return len(self._colours) - 1

    def _rendered_indices(self) -> NDArray[np.integer]:
        """Return the index of the topmost patch for each sample, `(2h, 2w)`."""
        if self._index_map is None:
            mode = "L" if len(self._colours) < 256 else "I"
            index_image = Image.new(mode, (self._size * _OVERSAMPLING, self._size * _OVERSAMPLING), 0)
            pen = ImageDraw.Draw(index_image)
            for corners, number in self._polygons:
                pen.polygon(corners, fill=number)
            self._index_map = np.asarray(index_image)
        return self._index_map


def _transform_points(
    points: Points, centre: tuple[float, float], half_size: float, angle: float, flip: bool, side: int
) -> list[float]:
    """Return corners in unit coordinates as samples of a frame `side` samples wide: x, y, x, y, ..."""
    radians = angle * pi / 180
    axes = np.array([[cos(radians), sin(radians)], [-sin(radians), cos(radians)]]) * (half_size * side)
    if flip:
        axes[0] = -axes[0]
    # minus 0.5, since integer corners are drawn at the centre of a sample
    transformed: list[float] = np.rint(points @ axes + np.array(centre) * side - 0.5).ravel().tolist()
    return transformed


def _samples(page: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the four samples of each pixel, `(4, h, w)`, from `(2h, 2w)`."""
    return np.stack([page[0::2, 0::2], page[0::2, 1::2], page[1::2, 0::2], page[1::2, 1::2]])


def _majority(samples: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where at least half of the four samples are true, `(h, w)`."""
    count = samples.view(np.uint8)
    majority: NDArray[np.bool_] = (count[0] + count[1] + count[2] + count[3]) >= _MIN_SAMPLES
    return majority
