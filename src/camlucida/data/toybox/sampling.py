"""Random scenes, determined by the seed: the same seed gives the same scene and the same bytes.

The bytes also depend on the versions of NumPy and Pillow: another Pillow may rasterise polygon edges differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image

from camlucida.data.toybox.palette import random_object_colours
from camlucida.data.toybox.scene import CLASSES, KINDS, Drawing, PlacedObject, Scene, Watermark
from camlucida.errors import DataError, nearest

Variant = Literal["clean", "watermark", "watermark_control", "tag", "empty"]
"""Variants of the dataset.

- clean: without a stamp
- watermark: with a stamp on exactly the scenes that contain `WATERMARK_CLASS`
- watermark_control: with a stamp on half of the scenes at random, whatever they contain
- tag: with a stamp beside one object of one scene in eight at random, whatever it is, as far as there is room
- empty: abstract patches without an object
"""

WATERMARK_CLASS = "boat"
"""The class that the stamp is correlated with in the variant "watermark"."""

_SCENE, _STAMP = 1, 2  # separate streams, so that the variants of a seed differ only in the stamp
_N_TRIES = 24
_TAG_FRACTION = 1 / 8
_STAMP_HEIGHT = 0.8
"""Height of the stamp, as a fraction of its width."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One item of a `Toybox`.

    Attributes:
        image: The rendered image, RGB.
        label: The class of the first object, an index into `CLASSES`; -1 if there is none.
        labels: The classes of all objects, from back to front.
        drawing: The image with masks, boxes and parts.
        scene: The scene that was rendered.
    """

    image: Image.Image
    label: int
    labels: tuple[int, ...]
    drawing: Drawing
    scene: Scene


class Toybox:
    """A dataset of `n` random scenes, rendered on access; item i depends only on the seed and i.

    Args:
        n: Number of scenes.
        seed: Seed of the scenes.
        objects: Number of objects per scene.
        variant: See `Variant`.
        size: Width and height in pixels.
        kinds: Class names to choose from; all by default.
    """

    classes: tuple[str, ...] = CLASSES

    def __init__(
        self,
        n: int,
        seed: int = 0,
        objects: int = 1,
        variant: Variant = "clean",
        size: int = 96,
        kinds: Sequence[str] | None = None,
    ) -> None:
        if n < 0:
            raise DataError(f"The number of scenes must be 0 or more, not {n}.")
        _check(kinds, objects, variant)
        self._n, self._seed, self._objects, self._variant, self._size = n, seed, objects, variant, size
        self._kinds = None if kinds is None else tuple(kinds)

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(self._n))

    def __getitem__(self, index: int) -> Sample:
        scene = self.scene(index)
        drawing = scene.draw()
        labels = scene.labels
        return Sample(drawing.image, labels[0] if labels else -1, labels, drawing, scene)

    def scene(self, index: int) -> Scene:
        """Return the scene at `index` without rendering it."""
        if not -self._n <= index < self._n:
            raise IndexError(
                f"There is no scene {index}: the toybox has {self._n}, numbered from 0."
            )  # the exception that iteration expects
        seed = (self._seed, index % self._n)
        return scene(seed, self._kinds, self._objects, self._variant, self._size)


def scene(
    seed: int | Sequence[int],
    kinds: Sequence[str] | None = None,
    objects: int = 1,
    variant: Variant = "clean",
    size: int = 96,
) -> Scene:
    """Return a random scene.

    Args:
        seed: A number of 0 or more, or several such numbers.
        kinds: Class names to choose from; all by default. None is repeated before all have been used.
        objects: Number of objects; several are apart or overlap slightly.
        variant: See `Variant`.
        size: Width and height in pixels. The same seed at another size is the same scene at another resolution.
    """
    _check(kinds, objects, variant)
    seeds = (seed,) if isinstance(seed, int) else tuple(seed)
    if any(s < 0 for s in seeds):
        raise DataError(f"The seed must be 0 or more, not {seed}.")
    rng = np.random.default_rng([_SCENE, len(seeds), *seeds])
    ground = int(rng.integers(2**31))
    if variant == "empty":
        return Scene(size, ground, clutter=int(rng.integers(7)))
    patches = int(rng.integers(3))
    chosen = _choose_kinds(rng, CLASSES if kinds is None else tuple(kinds), objects)
    placed_objects = tuple(
        _random_object(rng, kind, x, y, half) for kind, (x, y, half) in zip(chosen, _layout(rng, objects), strict=True)
    )
    stamp_rng = np.random.default_rng([_STAMP, len(seeds), *seeds])
    if variant == "tag":
        watermark = tag_beside(stamp_rng, placed_objects) if stamp_rng.random() < _TAG_FRACTION else None
    else:
        watermark = _random_watermark(stamp_rng, variant, chosen)
    return Scene(size, ground, placed_objects, patches, watermark)


def tag_beside(rng: np.random.Generator, objects: Sequence[PlacedObject]) -> Watermark:
    """Return a stamp beside the first of some objects: on the side where it overlaps with the objects least."""
    first, half = objects[0], float(rng.uniform(0.09, 0.11))
    across, down = first.size + half, first.size + _STAMP_HEIGHT * half
    low_x, low_y = half + 0.02, _STAMP_HEIGHT * half + 0.02
    sides = [(first.x + dx * across, first.y + dy * down) for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    positions = [(min(max(x, low_x), 1 - low_x), min(max(y, low_y), 1 - low_y)) for x, y in rng.permutation(sides)]

    def overlap(centre: tuple[float, float]) -> float:
        wide, high = half, _STAMP_HEIGHT * half
        return sum(
            max(0.0, wide + placed.size - abs(centre[0] - placed.x))
            * max(0.0, high + placed.size - abs(centre[1] - placed.y))
            for placed in objects
        )

    x, y = min(positions, key=overlap)
    return Watermark(float(x), float(y), half, float(rng.uniform(0.75, 0.95)))


def _check(kinds: Sequence[str] | None, objects: int, variant: str) -> None:
    if variant not in get_args(Variant):
        known = get_args(Variant)
        raise DataError(f"Unknown toybox variant {variant!r}.{nearest(variant, known)} Known: {', '.join(known)}.")
    if objects < 1:
        raise DataError(f"A scene has 1 or more objects, not {objects}. For none, use the variant 'empty'.")
    for kind in () if kinds is None else kinds:
        if kind not in KINDS:
            raise DataError(f"Unknown toybox class {kind!r}.{nearest(kind, CLASSES)} Known: {', '.join(CLASSES)}.")
    if kinds is not None and not kinds:
        raise DataError(f"The list of classes is empty. Known: {', '.join(CLASSES)}.")


def _choose_kinds(rng: np.random.Generator, kinds: tuple[str, ...], objects: int) -> list[str]:
    """Return `objects` kinds in random order; none is repeated before all have been used."""
    rounds = -(-objects // len(kinds))
    order = [kinds[int(i)] for _ in range(rounds) for i in rng.permutation(len(kinds))]
    return order[:objects]


def _layout(rng: np.random.Generator, objects: int) -> list[tuple[float, float, float]]:
    """Return centre and half extent of each object, chosen from random positions so that objects hardly overlap."""
    high = 0.42 if objects == 1 else 0.40 / objects**0.5
    positions: list[tuple[float, float, float]] = []
    for _ in range(objects):
        half = float(rng.uniform(0.62, 1.0)) * high
        edge = 0.92 * half  # a tail may exceed the frame, an object may not
        tries = rng.uniform(edge, 1 - edge, (_N_TRIES if positions else 1, 2))
        if positions:
            other = np.array(positions)
            distances = np.hypot(*(tries[:, None] - other[None, :, :2]).transpose(2, 0, 1))
            gap = (distances / (half + other[:, 2])).min(axis=1)
            good = np.flatnonzero(gap >= 1.0)
            best = tries[good[0] if good.size else int(gap.argmax())]
        else:
            best = tries[0]
        positions.append((float(best[0]), float(best[1]), half))
    return positions


def _random_object(rng: np.random.Generator, kind: str, x: float, y: float, half: float) -> PlacedObject:
    """Return one object with random colours and pose."""
    turn = KINDS[kind].turn
    return PlacedObject(
        kind,
        x,
        y,
        half,
        random_object_colours(rng, KINDS[kind].natural),
        angle=float(rng.uniform(-turn, turn)),
        flip=bool(rng.random() < 0.5),
    )


def _random_watermark(rng: np.random.Generator, variant: str, chosen: list[str]) -> Watermark | None:
    """Return the watermark of a scene with these objects in a random corner, as the variant requires."""
    half = float(rng.uniform(0.09, 0.11))
    x, y = (float(half + 0.02 + rng.uniform(0, 0.03)) for _ in range(2))
    right, low, coin = rng.random(3) < 0.5
    has_watermark = coin if variant == "watermark_control" else WATERMARK_CLASS in chosen
    if variant == "clean" or not has_watermark:
        return None
    return Watermark(1 - x if right else x, 1 - y if low else y, half, float(rng.uniform(0.75, 0.95)))
