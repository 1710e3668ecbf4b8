"""Networks with hand-set weights and images for them, for which the pixels that determine the score are known exactly.

After AttributionLab (Zhang et al., 2023): no network is trained, so that nothing has to be assumed about what it
learnt. Images are RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from camlucida.data.datasets import Item, Mask
from camlucida.data.toybox import Toybox
from camlucida.evaluation.benchmarks.networks import CELL_PX, GRID_CELLS, SIDE_PX, ColourCounter, PatternMatcher, Xor
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

YELLOW_RGB = (255, 255, 0)
COLOURS_RGB: dict[str, tuple[int, int, int]] = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
CAM_WEIGHTS = ((2.0, -1.0, 0.0), (0.0, 1.0, 3.0), (-1.0, 0.0, 1.0))
"""Weights of `channels`: the contribution of a cell of each colour to each class."""
CHANNEL_CELLS = (20, 28, 8, 8)
"""Numbers of black, red, green and blue cells in images of `channels`, for which the first class scores highest."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PaintedDataset:
    """A data set of images that a function renders from their index.

    Attributes:
        name: Name of the data set.
        classes: Names of the classes.
        n_images: Number of images.
        paint: Renders the item with a given index.
        exact: Whether the ground truth is exact.
    """

    name: str
    classes: tuple[str, ...]
    n_images: int
    paint: Callable[[int], Item]
    exact: bool = True

    def __len__(self) -> int:
        return self.n_images

    def __getitem__(self, index: int) -> Item:
        return self.paint(index)


def red(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A counter of red pixels: the score is their number, and each of them contributes equally."""
    classes = ("red", "grey")
    network = ColourCounter(
        _floats([[1, -1, -1]]), _floats([0]), _floats([[SIDE_PX**2], [0]]), _floats([0, 0.5]), cell=1
    )

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, index))
        image, mask = _grey_noise(rng), _random_disc(rng)
        image[mask] = COLOURS_RGB["red"]
        return _item(image, index, 0, mask)

    return _model(network, classes, "exact:red"), PaintedDataset("exact:red", classes, n_images, paint)


def signed(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """Green pixels are positive evidence, blue pixels negative evidence: the region is the green area."""
    classes = ("green", "grey")
    network = ColourCounter(
        _floats([[-1, 1, -1], [-1, -1, 1]]),
        _floats([0, 0]),
        _floats([[SIDE_PX**2, -(SIDE_PX**2)], [0, 0]]),
        _floats([0, 0.5]),
        cell=1,
    )

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, index))
        image = _grey_noise(rng)
        blue, green = sorted((_random_disc(rng), _random_disc(rng)), key=np.count_nonzero)  # the larger disc is green
        image[blue] = COLOURS_RGB["blue"]
        image[green] = COLOURS_RGB["green"]
        return _item(image, index, 0, green)

    return _model(network, classes, "exact:signed"), PaintedDataset("exact:signed", classes, n_images, paint)


def channels(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """Cells of one colour each, one channel per colour, and a linear layer: CAM is the weight of each cell's colour."""
    classes = ("first", "second", "third")
    network = ColourCounter(_floats(np.eye(3)), _floats([0, 0, 0]), _floats(CAM_WEIGHTS), _floats([0, 0, 0]))
    colours = np.array([(0, 0, 0), *COLOURS_RGB.values()], dtype=np.uint8)

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, index))
        colour_index = rng.permutation(np.repeat([0, 1, 2, 3], CHANNEL_CELLS)).reshape(GRID_CELLS, GRID_CELLS)
        return _item(_upscaled(colours[colour_index]), index, 0, _upscaled(colour_index == 1))

    return _model(network, classes, "exact:channels"), PaintedDataset("exact:channels", classes, n_images, paint)


def template(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """One cell shows a pattern among cells of noise: the network responds to that cell alone."""
    classes = ("pattern", "noise")
    pattern = np.random.default_rng((seed, 1)).random((CELL_PX, CELL_PX)) < 0.5

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, 2, index))
        # A noise cell agrees with half of the pattern's pixels on average; all 64 agree once in 2**64 cells.
        bits = rng.random((SIDE_PX, SIDE_PX)) < 0.5
        mask = _cell_mask(tuple(rng.integers(0, GRID_CELLS, 2)))
        bits[mask] = pattern.ravel()
        return _item(_white_where(bits), index, 0, mask)

    network = PatternMatcher(pattern.astype(np.float32))
    return _model(network, classes, "exact:template"), PaintedDataset("exact:template", classes, n_images, paint)


def xor(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """Exactly one of two cells is white, all others are random: both cells determine the score, also the black one."""
    classes = ("one", "none or both")
    first, second = (2, 2), (5, 5)

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, index))
        bits = rng.random((GRID_CELLS, GRID_CELLS)) < 0.5
        bits[first] = rng.random() < 0.5
        bits[second] = not bits[first]
        return _item(_white_where(_upscaled(bits)), index, 0, _cell_mask(first, second))

    return _model(Xor(first, second), classes, "exact:xor"), PaintedDataset("exact:xor", classes, n_images, paint)


def square(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A yellow square on a texture without yellow, at positions on a regular grid from edge to edge.

    The name of an image gives the position, e.g. "row 3, column 5". The network has cells of 8 pixels.
    """
    side, width = 112, 30  # 60 of 224
    n_columns = max(1, int(np.ceil(n_images**0.5)))
    starts = np.linspace(0, side - width, n_columns).round().astype(int)

    def paint(index: int) -> Item:
        row, column = divmod(index, n_columns)
        return _square_item(seed, index, (starts[row], starts[column]), side, width, f"row {row}, column {column}")

    return _square_model("exact:square", side), PaintedDataset("exact:square", ("yellow", "none"), n_images, paint)


def shift(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A yellow square on one texture, shifted by one pixel to the right and down per image, cyclically.

    The side of the square is a multiple of the network's cell, and it stays away from the edge, so that the centre of
    mass of a correctly aligned map equals the square's centre exactly. A map that is upsampled with aligned corners is
    off by up to (stride - 1) / 2.
    """
    side, width = 112, 32
    first, last = 2 * CELL_PX, side - width - 2 * CELL_PX

    def paint(index: int) -> Item:
        start = first + index % (last - first + 1)
        return _square_item(seed, 0, (start, start), side, width, f"step {index}")

    return _square_model("exact:shift", side), PaintedDataset("exact:shift", ("yellow", "none"), n_images, paint)


def _square_model(name: str, side: int) -> Model:
    network = ColourCounter(_floats([[1, 1, -2]]), _floats([-1]), _floats([[100], [0]]), _floats([0, 1]))
    return _model(network, ("yellow", "none"), name, side)


def _square_item(seed: int, scene_index: int, corner: tuple[int, int], side: int, width: int, name: str) -> Item:
    image = np.array(Toybox(scene_index + 1, seed, variant="empty", size=side).scene(scene_index).picture()).astype(int)
    # Raise blue until no pixel of the texture activates the yellow detector: R + G - 2 B - 1 <= 0.
    image[..., 2] = np.maximum(image[..., 2], (image[..., 0] + image[..., 1] - 255 + 1) // 2)
    mask = np.zeros((side, side), dtype=bool)
    mask[corner[0] : corner[0] + width, corner[1] : corner[1] + width] = True
    image[mask] = YELLOW_RGB
    return _item(image.astype(np.uint8), 0, 0, mask, name)


def _item(image: Pixels, index: int, label: int, mask: Mask, name: str = "") -> Item:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], dtype=np.float64)
    return Item(image, name or f"image {index}", label, box, lambda: mask)


def _model(network: nn.Module, classes: tuple[str, ...], name: str, side: int = SIDE_PX) -> Model:
    preprocessing = Preprocessing((side, side), None, "squash", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Model(
        network.eval(), preprocessing, classes, "relu" if isinstance(network, PatternMatcher) else "cells", spec=name
    )


def _floats(values: object) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)


def _grey_noise(rng: np.random.Generator) -> Pixels:
    level = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 1), dtype=np.uint8)
    return level.repeat(3, axis=2)


def _random_disc(rng: np.random.Generator) -> Mask:
    """Return the mask of a disc at a random position."""
    radius = rng.uniform(6, 14)
    y, x = rng.uniform(radius, SIDE_PX - radius, 2)
    rows, columns = np.ogrid[:SIDE_PX, :SIDE_PX]
    disc: Mask = np.hypot(rows + 0.5 - y, columns + 0.5 - x) < radius
    return disc


def _cell_mask(*positions: tuple[int, ...]) -> Mask:
    grid = np.zeros((GRID_CELLS, GRID_CELLS), dtype=bool)
    for position in positions:
        grid[position] = True
    return _upscaled(grid)


def _upscaled(grid: NDArray[Any]) -> NDArray[Any]:
    return grid.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)


def _white_where(bits: Mask) -> Pixels:
    return np.where(bits[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)
