"""Selections of toybox scenes: by object size, with a watermark, or with a tag planted in one class."""

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
MIN_EXTENT, MAX_EXTENT = 0.62 * 0.42, 0.42
"""Smallest and largest half extent of the only object of a scene, as a fraction of the frame."""
TAGGED_FRACTION = 0.2
"""Fraction of the scenes of one class that carry a planted tag."""
SCENES_PER_IMAGE = 40
"""Number of scenes that are searched per selected scene."""


@dataclass(frozen=True, eq=False)
class SelectedScenes:
    """A selection of scenes of a Toybox.

    Attributes:
        name: Name of the data set.
        toybox: The toybox.
        indices: Indices of the selected scenes.
        item: Builds the item of a scene from its index and sample.
        classes: Names of the classes.
        exact: Whether the ground truth is exact.
    """

    name: str
    toybox: Toybox
    indices: tuple[int, ...]
    item: Callable[[int, Sample], Item]
    classes: tuple[str, ...] = CLASSES
    exact: bool = True

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Item:
        number = self.indices[index]
        return self.item(number, self.toybox[number])


def scenes_of_size(size: Size, n_images: int, seed: int = 0) -> SelectedScenes:
    """Select scenes with one object whose extent is in the lowest, middle or upper third of the range."""
    third = SIZES.index(size)
    low, high = (MIN_EXTENT + (MAX_EXTENT - MIN_EXTENT) * n / 3 for n in (third, third + 1))
    toybox = Toybox(n_images * SCENES_PER_IMAGE, seed)
    scenes = ToyboxDataset(toybox)
    indices = _select_scenes(toybox, n_images, lambda scene: low <= scene.objects[0].size <= high)
    return SelectedScenes(f"exact:{size}", toybox, indices, lambda number, _: scenes[number])


def stamped_scenes(n_images: int, seed: int = 0, *, dependent: bool = True) -> SelectedScenes:
    """Select scenes with a watermark: the region is the watermark, and rendering without it gives its true effect.

    Args:
        n_images: Number of scenes.
        seed: Seed of the scenes.
        dependent: Whether the watermark occurs with one class only, as in the training data of `toybox:cleverhans`, or
            with any class.
    """
    classes = [WATERMARK_CLASS] if dependent else None
    toybox = Toybox(
        n_images * SCENES_PER_IMAGE, seed, variant="watermark" if dependent else "watermark_control", kinds=classes
    )
    indices = _select_scenes(toybox, n_images, lambda scene: scene.watermark is not None)
    return SelectedScenes("exact:watermark" if dependent else "exact:watermark_control", toybox, indices, _stamped_item)


def tagged_scenes(n_images: int, seed: int = 0, *, fraction: float = TAGGED_FRACTION) -> SelectedScenes:
    """Build scenes of which a fraction of one class carries a tag, which a data set audit should find.

    Tagged items have a part named "tag"; no other items have one.
    """
    toybox = Toybox(n_images, seed, variant="watermark")
    has_tag = np.random.default_rng((seed, 12)).random(n_images) < fraction
    return SelectedScenes(
        "exact:tag",
        toybox,
        tuple(range(n_images)),
        lambda number, sample: _tagged_item(number, sample, has_tag[number]),
    )


def _select_scenes(toybox: Toybox, n: int, condition: Callable[[Scene], bool]) -> tuple[int, ...]:
    indices: list[int] = []
    for index in range(len(toybox)):
        if len(indices) == n:
            break
        if condition(toybox.scene(index)):
            indices.append(index)
    if len(indices) < n:
        raise DataError(f"only {len(indices)} of {len(toybox)} scenes fit, not {n}. Choose fewer images.")
    return tuple(indices)


def _stamped_item(number: int, sample: Sample) -> Item:
    scene, drawing = sample.scene, sample.drawing
    stamp = drawing.watermark
    assert stamp is not None, "only scenes with a watermark are selected"
    object_mask = drawing.masks[0] & ~stamp

    def without(part: str) -> Image.Image:
        return (scene.without_watermark() if part == "watermark" else scene.without(0)).picture()

    return Item(
        sample.image,
        f"scene {number}",
        sample.label,
        _box(stamp),
        lambda: stamp,
        lambda: {"watermark": stamp, "object": object_mask},
        render_without=without,
    )


def _tagged_item(number: int, sample: Sample, has_tag: bool) -> Item:
    scene = sample.scene if has_tag else sample.scene.without_watermark()
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
