"""Painting: each patch of colour is drawn once, as a number; colours and masks are both read from them.

The numbers are drawn at twice the size, so each pixel of the picture has four samples: its colour is their
mean, and it belongs to an object if at least two of them do. Picture and masks cannot disagree.
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
from camlucida.data.toybox.palette import RGB, Colours

_OVER = 2  # samples along each side of a pixel
_ENOUGH = 2  # of the four samples: a pixel belongs to what covers at least half of it

# The stamp: a framed camera, seen from the front. The same everywhere, so that it is easy to learn.
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
    """One outline of a kind: its part, its colour, and where its corners stand in the long list."""

    part: str
    role: str
    start: int
    stop: int


@cache
def _layers(kind: Kind) -> tuple[Points, tuple[_Layer, ...]]:
    """All outlines of a kind from back to front, with all their corners in one (n, 2) array."""
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
    """A picture in the making: objects are added from back to front, then image and masks are read off."""

    def __init__(self, size: int, seed: int, patches: int) -> None:
        self._size = size
        self._seed = seed
        self._colours: list[RGB] = [(0, 0, 0)]  # number 0 is the background, which shows through
        self._groups: list[int] = [0]  # the part a number belongs to, counted over all objects; 0 for none
        self._owned: list[range] = []  # the groups of each object
        self._todo: list[tuple[list[float], int]] = []
        self._stamp: tuple[NDArray[np.float32], float] | None = None
        self._read: NDArray[np.integer] | None = None
        scale = float(size * _OVER)
        for points, colour in clutter(seed, patches):
            self._todo.append(((points * scale).ravel().tolist(), self._number(colour, 0)))

    def add(
        self,
        kind: Kind,
        parts: tuple[str, ...],
        centre: tuple[float, float],
        half: float,
        angle: float,
        flip: bool,
        colours: Colours,
    ) -> None:
        """Put an object on top: only the named parts; centre and half extent as shares of the frame."""
        points, layers = _layers(kind)
        placed = _moved(points, centre, half, angle, flip, self._size * _OVER)
        first = self._owned[-1].stop if self._owned else 1
        self._owned.append(range(first, first + len(parts)))
        numbers: dict[tuple[str, str], int] = {}
        for layer in layers:
            if layer.part not in parts:
                continue
            key = (layer.part, layer.role)
            if key not in numbers:
                numbers[key] = self._number(colours.of(layer.role), first + parts.index(layer.part))
            self._todo.append((placed[2 * layer.start : 2 * layer.stop], numbers[key]))

    def stamp(self, centre: tuple[float, float], half: float, opacity: float) -> None:
        """Lay the watermark over everything."""
        side = self._size * _OVER
        page = Image.new("L", (side, side), 0)
        pen = ImageDraw.Draw(page)
        for shape in STAMP:
            pen.polygon(_moved(shape.points, centre, half, 0.0, False, side), fill=1)
        covered = _samples(np.asarray(page)).sum(axis=0, dtype=np.uint8)
        self._stamp = covered.astype(np.float32) / _OVER**2, opacity

    def image(self) -> Image.Image:
        """The picture, RGB."""
        numbers = self._numbers()
        paint = np.zeros((len(self._colours), 4), np.uint16)
        paint[:, :3] = self._colours
        paint[1:, 3] = 1
        samples = _samples(numbers)
        painted = (paint[samples[0]] + paint[samples[1]]) + (paint[samples[2]] + paint[samples[3]])
        seen = background(self._seed, self._size) * (_OVER**2 - painted[..., 3:]).astype(np.float32)
        picture = (seen + painted[..., :3]) / np.float32(_OVER**2)
        if self._stamp is not None:
            covered, opacity = self._stamp
            picture += (np.float32(255) - picture) * (covered * np.float32(opacity))[:, :, None]
        return Image.fromarray(np.rint(picture).astype(np.uint8))

    def masks(self) -> NDArray[np.bool_]:
        """(n, h, w): the visible pixels of each object. One shared half and half goes to the nearer."""
        whose = np.zeros(self._owned[-1].stop if self._owned else 1, np.uint16)
        for index, groups in enumerate(self._owned):
            whose[groups.start : groups.stop] = index + 1
        owner = _samples(whose[np.array(self._groups)][self._numbers()])
        masks = np.zeros((len(self._owned), self._size, self._size), np.bool_)
        taken = np.zeros((self._size, self._size), np.bool_)
        for index in reversed(range(len(self._owned))):
            masks[index] = _enough(owner == index + 1) & ~taken
            taken |= masks[index]
        return masks

    def parts(self, index: int, mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """(h, w) for each drawn part of the object: its visible pixels inside the object's mask."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        found = [np.zeros_like(mask) for _ in self._owned[index]]
        if rows.size:  # look only where the object is: the frame is mostly other things
            window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            wide = tuple(slice(s.start * _OVER, s.stop * _OVER) for s in window)
            group = _samples(np.array(self._groups, np.uint16)[self._numbers()[wide]])
            for page, wanted in zip(found, self._owned[index], strict=True):
                page[window] = _enough(group == wanted) & mask[window]
        return found

    def watermark_mask(self) -> NDArray[np.bool_] | None:
        """(h, w) the pixels that the stamp changes, or None."""
        return None if self._stamp is None else self._stamp[0] > 0

    def _number(self, colour: RGB, group: int) -> int:
        self._colours.append(colour)
        self._groups.append(group)
        return len(self._colours) - 1

    def _numbers(self) -> NDArray[np.integer]:
        """(2h, 2w): for each sample, the number of the patch on top."""
        if self._read is None:
            mode = "L" if len(self._colours) < 256 else "I"
            page = Image.new(mode, (self._size * _OVER, self._size * _OVER), 0)
            pen = ImageDraw.Draw(page)
            for corners, number in self._todo:
                pen.polygon(corners, fill=number)
            self._read = np.asarray(page)
        return self._read


def _moved(
    points: Points, centre: tuple[float, float], half: float, angle: float, flip: bool, side: int
) -> list[float]:
    """Corners from unit coordinates to samples of a frame `side` samples wide, as x, y, x, y, ..."""
    turn = angle * pi / 180
    axes = np.array([[cos(turn), sin(turn)], [-sin(turn), cos(turn)]]) * (half * side)
    if flip:
        axes[0] = -axes[0]
    # minus a half: the pen puts integer corners on the middle of a sample
    moved: list[float] = np.rint(points @ axes + np.array(centre) * side - 0.5).ravel().tolist()
    return moved


def _samples(page: NDArray[np.integer]) -> NDArray[np.integer]:
    """(4, h, w): the samples of each pixel, from (2h, 2w)."""
    return np.stack([page[0::2, 0::2], page[0::2, 1::2], page[1::2, 0::2], page[1::2, 1::2]])


def _enough(samples: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(h, w): where at least half of the four samples are true."""
    count = samples.view(np.uint8)
    enough: NDArray[np.bool_] = (count[0] + count[1] + count[2] + count[3]) >= _ENOUGH
    return enough
