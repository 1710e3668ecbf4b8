"""toybox scenes chosen for a question: how large, with a stamp, with a stamp that somebody planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from camlucida.data.datasets import Item, Mask, ToyboxDataset
from camlucida.data.toybox import CLASSES, WATERMARK_CLASS, Sample, Scene, Toybox
from camlucida.errors import DataError

Size: TypeAlias = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = ("small", "medium", "large")
FROM, TO = 0.62 * 0.42, 0.42
"""Half the extent of the only object of a scene, as a share of the frame: smallest and largest."""
TAGGED = 0.2
"""The share of scenes of one class that carry a planted tag."""
TRIES = 40
"""Scenes looked at for one that is wanted."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Some scenes of a Toybox.

    items   makes the item of a scene
    """

    name: str
    drawn: Toybox
    indices: tuple[int, ...]
    item: Callable[[int, Sample], Item]
    classes: tuple[str, ...] = CLASSES
    exact: bool = True

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Item:
        number = self.indices[index]
        return self.item(number, self.drawn[number])


def sized(size: Size, count: int, seed: int = 0) -> Chosen:
    """Scenes with one object whose extent is in the lowest, middle or upper third of all."""
    third = SIZES.index(size)
    low, high = (FROM + (TO - FROM) * n / 3 for n in (third, third + 1))
    drawn = Toybox(count * TRIES, seed)
    scenes = ToyboxDataset(drawn)
    indices = _first(drawn, count, lambda scene: low <= scene.objects[0].size <= high)
    return Chosen(f"exact:{size}", drawn, indices, lambda number, _: scenes[number])


def stamped(count: int, seed: int = 0, *, dependent: bool = True) -> Chosen:
    """Scenes with a stamp: what is looked for is the stamp, and its effect is known by taking it away.

    dependent   the stamp goes with one class only, as what `toybox:cleverhans` was trained on; or with any
    """
    kinds = [WATERMARK_CLASS] if dependent else None
    drawn = Toybox(count * TRIES, seed, variant="watermark" if dependent else "watermark_control", kinds=kinds)
    indices = _first(drawn, count, lambda scene: scene.watermark is not None)
    return Chosen("exact:watermark" if dependent else "exact:watermark_control", drawn, indices, _stamped)


def tagged(count: int, seed: int = 0, *, share: float = TAGGED) -> Chosen:
    """Scenes of which a share of one class carries a tag: what an audit of a data set has to find.

    The tagged ones have a part "tag"; no other has.
    """
    drawn = Toybox(count, seed, variant="watermark")
    tag = np.random.default_rng((seed, 12)).random(count) < share
    return Chosen("exact:tag", drawn, tuple(range(count)), lambda number, sample: _tagged(number, sample, tag[number]))


def _first(drawn: Toybox, count: int, wanted: Callable[[Scene], bool]) -> tuple[int, ...]:
    found: list[int] = []
    for index in range(len(drawn)):
        if len(found) == count:
            break
        if wanted(drawn.scene(index)):
            found.append(index)
    if len(found) < count:
        raise DataError(f"only {len(found)} of {count} scenes could be found in {len(drawn)}.")
    return tuple(found)


def _stamped(number: int, sample: Sample) -> Item:
    scene, drawing = sample.scene, sample.drawing
    stamp = drawing.watermark
    assert stamp is not None, "chosen because it has one"
    thing = drawing.masks[0] & ~stamp

    def without(part: str) -> Image.Image:
        return (scene.without_watermark() if part == "watermark" else scene.without(0)).image()

    return Item(
        sample.image,
        f"scene {number}",
        sample.label,
        _box(stamp),
        lambda: stamp,
        lambda: {"watermark": stamp, "object": thing},
        render_without=without,
    )


def _tagged(number: int, sample: Sample, tag: bool) -> Item:
    scene = sample.scene if tag else sample.scene.without_watermark()
    drawing = scene.draw()
    masks = {**drawing.parts[0], **({} if drawing.watermark is None else {"tag": drawing.watermark})}
    return Item(
        drawing.image,
        f"scene {number}",
        sample.label,
        np.array([drawing.boxes[0]], dtype=np.float64),
        lambda: drawing.masks[0],
        lambda: masks,
    )


def _box(mask: Mask) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], dtype=np.float64)
