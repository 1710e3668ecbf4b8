"""The object on an image, as a mask or as the union of boxes, without drawing the boxes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from camlucida.data.datasets import Item

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ObjectRegion:
    """The pixels of the object.

    Attributes:
        size: (width, height) of the image.
        mask: The object's mask `(height, width)`; None if the region is the union of boxes.
        boxes: Pixels `(n, 4)` of each box as left, top, right, bottom, the last two exclusive: those whose centers lie
            in the box.
    """

    size: tuple[int, int]
    mask: NDArray[np.bool_] | None
    boxes: NDArray[np.int64]

    @classmethod
    def of(cls, item: Item, size: tuple[int, int]) -> ObjectRegion | None:
        """Return the object of an item: its mask, or its boxes; None if neither is known.

        Args:
            item: The item of the data set.
            size: (width, height) of its image.
        """
        if item.mask is not None:
            return cls.of_mask(item.mask(), size)
        return None if item.boxes is None else cls.of_boxes(item.boxes, size)

    @classmethod
    def of_mask(cls, mask: ArrayLike, size: tuple[int, int]) -> ObjectRegion:
        """Return the pixels of a mask `(height, width)`."""
        return cls(size, np.asarray(mask, dtype=np.bool_), np.zeros((0, 4), dtype=np.int64))

    @classmethod
    def of_boxes(cls, boxes: ArrayLike, size: tuple[int, int]) -> ObjectRegion:
        """Return the union of boxes `(n, 4)` as left, top, right, bottom in pixels."""
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        pixels = np.clip(np.ceil(boxes - 0.5), 0, np.array([*size, *size])).astype(np.int64)
        return cls(size, None, pixels[(pixels[:, 2:] > pixels[:, :2]).all(1)])

    @cached_property
    def x_edges(self) -> NDArray[np.int64]:
        """Columns at which a box begins or ends, ascending."""
        return np.unique(self.boxes[:, [0, 2]])

    @cached_property
    def y_edges(self) -> NDArray[np.int64]:
        """Rows at which a box begins or ends, ascending."""
        return np.unique(self.boxes[:, [1, 3]])

    @cached_property
    def cells(self) -> Floats:
        """Whether a box covers the pixels between two edges, `(rows, columns)`: 0 or 1."""
        x, y = self.x_edges[:-1], self.y_edges[:-1]
        across = (self.boxes[:, 0:1] <= x) & (x < self.boxes[:, 2:3])
        down = (self.boxes[:, 1:2] <= y) & (y < self.boxes[:, 3:4])
        covered: NDArray[np.bool_] = np.any(down[:, :, None] & across[:, None], axis=0)
        return covered.astype(np.float64)

    @cached_property
    def area(self) -> float:
        """Fraction of the image that the object covers; NaN if it covers no pixel."""
        width, height = self.size
        if self.mask is not None:
            n_pixels = float(np.count_nonzero(self.mask))
        else:
            n_pixels = float(np.diff(self.y_edges) @ self.cells @ np.diff(self.x_edges)) if len(self.boxes) else 0.0
        return n_pixels / (width * height) if n_pixels else float("nan")

    @cached_property
    def center(self) -> tuple[float, float]:
        """Center of mass, as fractions of the image's width and height; NaN if the object covers no pixel."""
        if not self.area > 0:
            return float("nan"), float("nan")
        width, height = self.size
        if self.mask is not None:
            by_column, by_row = (np.count_nonzero(self.mask, axis=axis) for axis in (0, 1))
            x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
        else:
            widths, heights = np.diff(self.x_edges), np.diff(self.y_edges)
            by_column, by_row = (heights @ self.cells) * widths, (self.cells @ widths) * heights
            x, y = (edges[:-1] + np.diff(edges) / 2 for edges in (self.x_edges, self.y_edges))
        return float(by_column @ x / by_column.sum()) / width, float(by_row @ y / by_row.sum()) / height
