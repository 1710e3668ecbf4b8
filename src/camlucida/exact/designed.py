"""Networks whose weights are set by hand, with pictures for them: what each of them looks at is known exactly.

After AttributionLab (Zhang et al., 2023): nothing is trained, so nothing is to be believed. A picture is RGB in [0, 1].
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
from camlucida.exact.networks import CELL, GRID, SIDE, Colours, Matcher, Xor
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

YELLOW = (255, 255, 0)
COLOURS: dict[str, tuple[int, int, int]] = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
CAM_WEIGHTS = ((2.0, -1.0, 0.0), (0.0, 1.0, 3.0), (-1.0, 0.0, 1.0))
"""Of `channels`: what a cell of each colour says for each class."""
CHANNEL_CELLS = (20, 28, 8, 8)
"""Of `channels`: so many cells are black, red, green, blue. So the first class has the highest score."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PaintedDataset:
    """A data set of pictures painted by a function of their number."""

    name: str
    classes: tuple[str, ...]
    count: int
    paint: Callable[[int], Item]
    exact: bool = True

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        return self.paint(index)


def red(count: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A counter of red pixels: the score is how many there are, and each of them counts the same."""
    classes = ("red", "grey")
    network = Colours(_floats([[1, -1, -1]]), _floats([0]), _floats([[SIDE**2], [0]]), _floats([0, 0.5]), cell=1)

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, index))
        image, mask = _grey(rng), _blob(rng)
        image[mask] = COLOURS["red"]
        return _item(image, index, 0, mask)

    return _model(network, classes, "exact:red"), PaintedDataset("exact:red", classes, count, paint)


def signed(count: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """Green pixels speak for a class, blue ones against it: the region is the green, blue has the opposite sign."""
    classes = ("green", "grey")
    network = Colours(
        _floats([[-1, 1, -1], [-1, -1, 1]]),
        _floats([0, 0]),
        _floats([[SIDE**2, -(SIDE**2)], [0, 0]]),
        _floats([0, 0.5]),
        cell=1,
    )

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, index))
        image = _grey(rng)
        blue, green = sorted((_blob(rng), _blob(rng)), key=np.count_nonzero)  # so that there is more green
        image[blue] = COLOURS["blue"]
        image[green] = COLOURS["green"]
        return _item(image, index, 0, green)

    return _model(network, classes, "exact:signed"), PaintedDataset("exact:signed", classes, count, paint)


def channels(count: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """Cells of one colour each, one channel a colour, and a linear layer: CAM is its weight for the cell's colour."""
    classes = ("first", "second", "third")
    network = Colours(_floats(np.eye(3)), _floats([0, 0, 0]), _floats(CAM_WEIGHTS), _floats([0, 0, 0]))
    colours = np.array([(0, 0, 0), *COLOURS.values()], dtype=np.uint8)

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, index))
        which = rng.permutation(np.repeat([0, 1, 2, 3], CHANNEL_CELLS)).reshape(GRID, GRID)
        return _item(_enlarged(colours[which]), index, 0, _enlarged(which == 1))

    return _model(network, classes, "exact:channels"), PaintedDataset("exact:channels", classes, count, paint)


def template(count: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """One cell shows a pattern among cells of noise: the network fires on that cell alone."""
    classes = ("pattern", "noise")
    pattern = np.random.default_rng((seed, 1)).random((CELL, CELL)) < 0.5

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, 2, index))
        # Noise that shares half of the pattern's pixels by chance: 64 equal ones happen once in 2**64 cells.
        bits = rng.random((SIDE, SIDE)) < 0.5
        mask = _cells(tuple(rng.integers(0, GRID, 2)))
        bits[mask] = pattern.ravel()
        return _item(_white(bits), index, 0, mask)

    network = Matcher(pattern.astype(np.float32))
    return _model(network, classes, "exact:template"), PaintedDataset("exact:template", classes, count, paint)


def xor(count: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """Two cells, of which exactly one is white; all others are so by lot. Both decide, also the black one."""
    classes = ("one", "none or both")
    first, second = (2, 2), (5, 5)

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, index))
        bits = rng.random((GRID, GRID)) < 0.5
        bits[first] = rng.random() < 0.5
        bits[second] = not bits[first]
        return _item(_white(_enlarged(bits)), index, 0, _cells(first, second))

    return _model(Xor(first, second), classes, "exact:xor"), PaintedDataset("exact:xor", classes, count, paint)


def square(count: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A yellow square on a texture without yellow, on a grid of places from edge to edge, row by row: as M4 has it.

    A picture's name says where: "row 3, column 5". The network sees cells of 8 pixels.
    """
    side, width = 112, 30  # 60 of 224
    a_row = max(1, int(np.ceil(count**0.5)))
    places = np.linspace(0, side - width, a_row).round().astype(int)

    def paint(index: int) -> Item:
        row, column = divmod(index, a_row)
        return _yellow(seed, index, (places[row], places[column]), side, width, f"row {row}, column {column}")

    return _yellow_model("exact:square", side), PaintedDataset("exact:square", ("yellow", "none"), count, paint)


def shift(count: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """The same square on the same texture, one pixel further to the right and down each time, and back again.

    Its side is a multiple of the network's cell, and it stays away from the edge: so the centre of an honest map is the
    square's, to the last digit. A map that is put on the picture by its corners is off by (stride - 1) / 2 on the way.
    """
    side, width = 112, 32
    first, last = 2 * CELL, side - width - 2 * CELL

    def paint(index: int) -> Item:
        place = first + index % (last - first + 1)
        return _yellow(seed, 0, (place, place), side, width, f"step {index}")

    return _yellow_model("exact:shift", side), PaintedDataset("exact:shift", ("yellow", "none"), count, paint)


def _yellow_model(name: str, side: int) -> Model:
    network = Colours(_floats([[1, 1, -2]]), _floats([-1]), _floats([[100], [0]]), _floats([0, 1]))
    return _model(network, ("yellow", "none"), name, side)


def _yellow(seed: int, ground: int, place: tuple[int, int], side: int, width: int, name: str) -> Item:
    image = np.array(Toybox(ground + 1, seed, variant="empty", size=side).scene(ground).image()).astype(int)
    # So much blue that no pixel of the texture is yellow to the network: R + G - 2 B - 1 is 0 or less.
    image[..., 2] = np.maximum(image[..., 2], (image[..., 0] + image[..., 1] - 255 + 1) // 2)
    mask = np.zeros((side, side), dtype=bool)
    mask[place[0] : place[0] + width, place[1] : place[1] + width] = True
    image[mask] = YELLOW
    return _item(image.astype(np.uint8), 0, 0, mask, name)


def _item(image: Pixels, index: int, label: int, mask: Mask, name: str = "") -> Item:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], dtype=np.float64)
    return Item(image, name or f"picture {index}", label, box, lambda: mask)


def _model(network: nn.Module, classes: tuple[str, ...], name: str, side: int = SIDE) -> Model:
    how = Preprocessing((side, side), None, "squash", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Model(network.eval(), how, classes, "relu" if isinstance(network, Matcher) else "cells", spec=name)


def _floats(values: object) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)


def _grey(rng: np.random.Generator) -> Pixels:
    level = rng.integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8)
    return level.repeat(3, axis=2)


def _blob(rng: np.random.Generator) -> Mask:
    """A disc somewhere."""
    radius = rng.uniform(6, 14)
    y, x = rng.uniform(radius, SIDE - radius, 2)
    rows, columns = np.ogrid[:SIDE, :SIDE]
    found: Mask = np.hypot(rows + 0.5 - y, columns + 0.5 - x) < radius
    return found


def _cells(*places: tuple[int, ...]) -> Mask:
    grid = np.zeros((GRID, GRID), dtype=bool)
    for place in places:
        grid[place] = True
    return _enlarged(grid)


def _enlarged(grid: NDArray[Any]) -> NDArray[Any]:
    return grid.repeat(CELL, axis=0).repeat(CELL, axis=1)


def _white(bits: Mask) -> Pixels:
    return np.where(bits[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)
