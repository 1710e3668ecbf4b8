"""The annotated objects of an image as classes of the model, and which classes are annotated at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from camlucida.data.datasets import Boxes, Item
from camlucida.types import Region

Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class ImageObject:
    """One annotated object of a class that the model has.

    Attributes:
        index: Its class, an output of the model.
        box: Left, top, right, bottom in pixels of the image; None if only the mask is known.
        mask: Returns its mask `(h, w)`; None if it is unknown.
        is_ignored: Whether it is neither to be found nor a mistake to find.
    """

    index: int
    box: Box | None
    mask: Callable[[], Mask] | None = None
    is_ignored: bool = False

    def region(self) -> Region:
        """Return the part of the image that it covers: its box, or else its mask."""
        if self.box is not None:
            return Region(self.box)
        assert self.mask is not None
        return Region(mask=torch.as_tensor(self.mask()))


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """What is known of the objects of an image.

    Attributes:
        objects: The objects whose class the model has.
        known: The classes of which all objects are annotated; None for all classes. A detection of another class is
            neither correct nor wrong.
    """

    objects: tuple[ImageObject, ...]
    known: frozenset[int] | None

    def is_known(self, index: int) -> bool:
        """Return whether all objects of a class are annotated."""
        return self.known is None or index in self.known

    @classmethod
    def of(cls, item: Item, output_of: Callable[[int | None], int | None]) -> AnnotatedImage:
        """Return the annotations of an item.

        Where a data set does not list its objects, the boxes of an item are those of its label, and nothing is known of
        other classes.

        Args:
            item: The item of the data set.
            output_of: Returns the model's output for a class of the data set, or None.
        """
        if item.objects is not None:
            pairs = [(output_of(each.label), each) for each in item.objects()]
            found = [
                ImageObject(index, _box(each.box), each.mask, each.is_ignored)
                for index, each in pairs
                if index is not None and (each.box is not None or each.mask is not None)
            ]
            return cls(tuple(found), None)
        label = output_of(item.label)
        if label is None or (item.boxes is None and item.mask is None):
            return cls((), frozenset())
        if item.boxes is None:
            return cls((ImageObject(label, None, item.mask),), frozenset({label}))
        boxes: list[list[float]] = np.asarray(item.boxes, dtype=np.float64).reshape(-1, 4).tolist()
        mask = item.mask if len(boxes) == 1 else None
        return cls(tuple(ImageObject(label, (a, b, c, d), mask) for a, b, c, d in boxes), frozenset({label}))

    def class_masks(self, height: int, width: int) -> dict[int, Mask]:
        """Return the union of the masks `(height, width)` of each class whose objects all have one."""
        masks: dict[int, Mask] = {}
        for index in sorted({each.index for each in self.objects}):
            of_class = [each for each in self.objects if each.index == index and not each.is_ignored]
            if of_class and all(each.mask is not None for each in of_class):
                union = np.zeros((height, width), dtype=np.bool_)
                for each in of_class:
                    assert each.mask is not None
                    union |= np.asarray(each.mask(), dtype=np.bool_)
                if union.any():
                    masks[index] = union
        return masks


def _box(box: Boxes | None) -> Box | None:
    if box is None:
        return None
    left, top, right, bottom = (float(side) for side in box)
    return left, top, right, bottom
