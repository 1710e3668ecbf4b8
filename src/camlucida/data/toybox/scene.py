"""Scenes as values, and their rendering with or without single objects and parts.

Nothing in a scene depends on its other elements: removing an object or part changes only the pixels that it covered.
The true effect of a part on a score can therefore be measured without infilling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.data.toybox.animals import BIRD, CAT, DOG, FISH
from camlucida.data.toybox.canvas import Canvas
from camlucida.data.toybox.kinds import Kind
from camlucida.data.toybox.palette import ObjectColours
from camlucida.data.toybox.things import BOAT, CAR, HOUSE, KEY, MUG, TREE
from camlucida.errors import DataError, nearest

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]

KINDS: dict[str, Kind] = {kind.name: kind for kind in (CAT, DOG, CAR, HOUSE, TREE, FISH, MUG, KEY, BOAT, BIRD)}
"""All kinds of objects by name, in the order of the classes."""

CLASSES: tuple[str, ...] = tuple(KINDS)
"""The class names; a label is an index into this tuple."""


@dataclass(frozen=True)
class PlacedObject:
    """One object in a scene.

    Attributes:
        kind: The class name.
        x: Horizontal position of the centre, as a fraction of the frame from the left.
        y: Vertical position of the centre, as a fraction of the frame from the top.
        size: Half the extent, as a fraction of the frame.
        colours: The colours of its roles.
        angle: Clockwise rotation in degrees.
        flip: Whether it is mirrored horizontally.
        left_out: Names of the parts that are not drawn.
    """

    kind: str
    x: float
    y: float
    size: float
    colours: ObjectColours
    angle: float = 0.0
    flip: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names of the parts that are drawn, from back to front."""
        return tuple(name for name in KINDS[self.kind].part_names if name not in self.left_out)


@dataclass(frozen=True)
class Watermark:
    """A stamp on the image: centre and half width as fractions of the frame, opacity in 0..1."""

    x: float
    y: float
    size: float
    opacity: float


@dataclass(frozen=True, eq=False)
class Drawing:
    """A rendered scene.

    Attributes:
        image: The image, RGB.
        masks: `(n, h, w)` visible pixels of each object, which covers at least half of each of them.
        boxes: Left, top, right, bottom of each mask; right and bottom are exclusive; all 0 if nothing is visible.
        parts: For each object, the visible pixels `(h, w)` of its parts by name, inside its mask.
        watermark: `(h, w)` pixels under the stamp; None without a stamp.
    """

    image: Image.Image
    masks: Mask
    boxes: tuple[Box, ...]
    parts: tuple[dict[str, Mask], ...]
    watermark: Mask | None


@dataclass(frozen=True)
class Scene:
    """Description of a scene, which can be rendered.

    Attributes:
        size: Width and height in pixels; any size renders the same scene at another resolution.
        background: The seed of the background.
        objects: The objects from back to front.
        clutter: Number of abstract patches on the background.
        watermark: The stamp; None for none.
    """

    size: int
    background: int
    objects: tuple[PlacedObject, ...] = ()
    clutter: int = 0
    watermark: Watermark | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """Return the class of each object, an index into `CLASSES`."""
        return tuple(CLASSES.index(placed.kind) for placed in self.objects)

    def draw(self) -> Drawing:
        """Render the image with its masks, boxes and parts."""
        canvas = self._canvas()
        masks = canvas.masks()
        names = [placed.parts for placed in self.objects]
        parts = [dict(zip(n, canvas.parts(i, masks[i]), strict=True)) for i, n in enumerate(names)]
        boxes = tuple(_box(mask) for mask in masks)
        return Drawing(canvas.image(), masks, boxes, tuple(parts), canvas.watermark_mask())

    def picture(self) -> Image.Image:
        """Render only the image (RGB), which is faster than `draw` and gives the same pixels."""
        return self._canvas().image()

    def without(self, index: int) -> Scene:
        """Return the same scene without the object at `index`."""
        self._check(index)
        return replace(self, objects=self.objects[:index] + self.objects[index + 1 :])

    def without_part(self, index: int, part: str) -> Scene:
        """Return the same scene without one part of the object at `index`."""
        self._check(index)
        placed = self.objects[index]
        if part not in placed.parts:
            raise DataError(
                f"This {placed.kind} has no part {part!r}.{nearest(part, placed.parts)} "
                f"Its parts: {', '.join(placed.parts)}."
            )
        changed = replace(placed, left_out=(*placed.left_out, part))
        return replace(self, objects=(*self.objects[:index], changed, *self.objects[index + 1 :]))

    def without_watermark(self) -> Scene:
        """Return the same scene without its stamp."""
        return replace(self, watermark=None)

    def resized(self, size: int) -> Scene:
        """Return the same scene, `size` pixels wide and high."""
        return replace(self, size=size)

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self.objects):
            raise DataError(f"There is no object {index}: the scene has {len(self.objects)}, numbered from 0.")

    def _canvas(self) -> Canvas:
        if self.size < 8:
            raise DataError(f"A scene of {self.size} pixels is too small to render: use 8 or more.")
        canvas = Canvas(self.size, self.background, self.clutter)
        for placed in self.objects:
            if placed.kind not in KINDS:
                raise DataError(f"Unknown toybox class {placed.kind!r}. Known: {', '.join(CLASSES)}.")
            centre = (placed.x, placed.y)
            canvas.add(KINDS[placed.kind], placed.parts, centre, placed.size, placed.angle, placed.flip, placed.colours)
        if (stamp := self.watermark) is not None:
            canvas.stamp((stamp.x, stamp.y), stamp.size, stamp.opacity)
        return canvas


def _box(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
