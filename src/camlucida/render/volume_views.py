"""Views of volumes: slices and maximum-intensity projections along each axis, in the orientation of viewers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BODY_AXIS = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
PLANES = {0: ("Sagittal", "I", "P"), 1: ("Coronal", "I", "L"), 2: ("Axial", "P", "L")}
"""Of every body axis the plane across it, and where its rows and columns point: as radiologists look at it."""
_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))
ARRAY_AXES = ("Depth", "Height", "Width")
"""Names of the axes of an array that does not say how it lies in the body."""


@dataclass(frozen=True)
class View:
    """How a 3-D array is cut along one of its axes.

    Attributes:
        axis: The axis.
        name: Name of the plane, such as "Axial".
        transpose: Whether rows and columns are exchanged.
        flips: Whether rows, and columns, are reversed, after that.
        sides: What is at the top and on the right of the plane, as text; "" if it is unknown.
    """

    axis: int
    name: str
    transpose: bool = False
    flips: tuple[bool, bool] = (False, False)
    sides: str = ""

    def cut(self, grid: NDArray[Any], index: int) -> NDArray[Any]:
        """Return the slice of an array `(d, h, w)` at an index of the axis."""
        return self._drawn(np.take(grid, index, axis=self.axis))

    def project(self, grid: NDArray[Any]) -> NDArray[Any]:
        """Return the maximum of an array along the axis; NaN only where all values are."""
        missing = np.isnan(grid)
        maxima = np.where(missing, -np.inf, grid).max(self.axis)
        return self._drawn(np.where(missing.all(self.axis), np.nan, maxima))

    def mm(self, voxel_mm: tuple[float, float, float] | None) -> tuple[float, float]:
        """Return the height and width of a pixel; equal ones where they are unknown."""
        if voxel_mm is None:
            return 1.0, 1.0
        height, width = (length for axis, length in enumerate(voxel_mm) if axis != self.axis)
        return (width, height) if self.transpose else (height, width)

    def _drawn(self, plane: NDArray[Any]) -> NDArray[Any]:
        plane = plane.T if self.transpose else plane
        vertical, horizontal = self.flips
        return np.ascontiguousarray(plane[:: -1 if vertical else 1, :: -1 if horizontal else 1])


def views(orientation: str) -> tuple[View, View, View]:
    """Return the views along the three axes of an array.

    Args:
        orientation: Where its axes point, such as "SPL"; "" if it is unknown, then slices are drawn as stored.
    """
    first, second, third = (_view(axis, orientation) for axis in range(3))
    return first, second, third


def _view(axis: int, orientation: str) -> View:
    if not orientation:
        return View(axis, ARRAY_AXES[axis])
    name, row, column = PLANES[BODY_AXIS[orientation[axis]]]
    letters = [letter for i, letter in enumerate(orientation) if i != axis]
    transpose = BODY_AXIS[letters[0]] != BODY_AXIS[row]
    if transpose:
        letters.reverse()
    sides = f"{_OPPOSITE[row]} at the top, {column} on the right"
    return View(axis, name, transpose, (letters[0] != row, letters[1] != column), sides)


def grey_image(plane: NDArray[Any], window: tuple[float, float]) -> Image.Image:
    """Return a plane as RGB: the window from black to white."""
    low, high = window
    scaled = (np.nan_to_num(plane.astype(np.float64), nan=low) - low) / ((high - low) or 1.0)
    levels = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(levels).convert("RGB")


def display_shape(size: tuple[int, int], mm: tuple[float, float], max_px: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) in pixels at which a plane is drawn in its true proportions.

    Args:
        size: (width, height) of the plane.
        mm: Height and width of one of its pixels.
        max_px: Largest (width, height).
    """
    width, height = size[0] * mm[1], size[1] * mm[0]
    scale = min(max_px[0] / width, max_px[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))
