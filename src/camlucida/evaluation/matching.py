"""Which detections are correct: greedy matching with the annotated objects, as the evaluation of COCO does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ANY_CLASS = -1
"""Class of an object whose class is unknown: a detection of any class may match it."""

MIN_IOU = 0.5
"""Intersection over union from which a detection and an object of the same class match, as in PASCAL VOC."""


@dataclass(frozen=True, eq=False)
class Matching:
    """The result for n detections and m objects.

    Attributes:
        objects: For each detection the number of its object; -1 without one.
        ious: Intersection over union with it; 0 without one.
        ignored: Whether a detection without an object lies on an object that is to be ignored `(n,)`.
        missed: Numbers of the objects without a detection that should have one.
    """

    objects: tuple[int, ...]
    ious: tuple[float, ...]
    ignored: tuple[bool, ...]
    missed: tuple[int, ...]


def match(
    detected: Sequence[int], annotated: Sequence[int], overlaps: Floats, ignored: Sequence[bool], shares: Floats
) -> Matching:
    """Match detections with objects of the same class, in the order of the detections.

    Each detection takes the free object with the largest intersection over union of at least `MIN_IOU`. Without one,
    it is ignored if at least `MIN_IOU` of it lies on an object that is to be ignored, of which several detections may.

    Args:
        detected: Class of each detection, most probable first `(n,)`.
        annotated: Class of each object, or `ANY_CLASS` `(m,)`.
        overlaps: Intersection over union `(n, m)`.
        ignored: Which objects are to be ignored `(m,)`.
        shares: Fraction of each detection that lies on each object `(n, m)`.
    """
    of_objects = np.array(annotated).reshape(1, -1)
    same = (np.array(detected).reshape(-1, 1) == of_objects) | (of_objects == ANY_CLASS)
    skip = np.array(ignored, dtype=np.bool_)
    free = ~skip
    objects, ious, on_ignored = [], [], []
    for i in range(len(detected)):
        values = np.where(same[i] & free, overlaps[i], 0.0)
        best = int(values.argmax()) if len(values) else -1
        if best >= 0 and values[best] >= MIN_IOU:
            free[best] = False
            objects.append(best)
            ious.append(float(values[best]))
            on_ignored.append(False)
        else:
            objects.append(-1)
            ious.append(0.0)
            on_ignored.append(bool((same[i] & skip & (shares[i] >= MIN_IOU)).any()))
    return Matching(tuple(objects), tuple(ious), tuple(on_ignored), tuple(np.flatnonzero(free).tolist()))


def box_overlaps(boxes: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Return the intersection over union `(n, m)` of boxes `(n, 4)` and `(m, 4)`, and the fraction of each first one.

    Boxes are left, top, right, bottom; an empty box overlaps with nothing.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [np.clip(each[:, 2:] - each[:, :2], 0, None).prod(1) for each in (boxes, others)]
    return _divided(shared, areas[0][:, None] + areas[1][None] - shared), _divided(shared, areas[0][:, None])


def mask_overlaps(masks: Sequence[NDArray[np.bool_]], others: Sequence[NDArray[np.bool_]]) -> tuple[Floats, Floats]:
    """Return the intersection over union `(n, m)` of masks `(h, w)`, and the fraction of each first one."""
    shape = len(masks), len(others)
    shared, union, own = np.zeros((3, *shape))
    for i, mask in enumerate(masks):
        for j, other in enumerate(others):
            shared[i, j] = np.count_nonzero(mask & other)
            union[i, j] = np.count_nonzero(mask | other)
            own[i, j] = np.count_nonzero(mask)
    return _divided(shared, union), _divided(shared, own)


def _divided(part: Floats, whole: Floats) -> Floats:
    quotient: Floats = np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
    return quotient
