"""The region of the image that metrics of localisation use for a target: annotated where possible, else predicted.

Detections and annotated boxes of a class are matched one to one, in the order of probabilities, from an intersection
over union of 0.5 on, as in COCO (`evaluation.matching`). A region of a segmentation takes the annotated mask of its
class. A class of the whole image, a prompt and a word take all objects of the class that they name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import torch

from camlucida.attribution.bind_targets import mask_of
from camlucida.data.datasets import Boxes, Item, Mask, ObjectAnnotation
from camlucida.evaluation.matching import ANY_CLASS, MIN_IOU, box_overlaps, match
from camlucida.imagenet import normalize
from camlucida.models.detection.candidates import box_iou
from camlucida.types import Region

Match: TypeAlias = Literal["matched", "not matched"]
MATCHED: Match = "matched"
NOT_MATCHED: Match = "not matched"
NO_REGION = "no region"

Size: TypeAlias = tuple[int, int]
"""Width and height of the image."""


@dataclass(frozen=True, eq=False)
class TargetRegion:
    """The region of a target on the original image.

    Attributes:
        text: What it is: "annotated box", "predicted box", "annotated mask", "predicted mask" or "no region".
        match: Whether an annotation agrees with the target; None where nothing is annotated that could.
        boxes: Boxes `(n, 4)`; None without a region.
        mask: Returns the mask `(h, w)`; None for boxes.
        label: The annotated class, an index into the classes of the data set; None without one.
    """

    text: str = NO_REGION
    match: Match | None = None
    boxes: Boxes | None = None
    mask: Callable[[], Mask] | None = None
    label: int | None = None

    @property
    def box(self) -> list[float] | None:
        """The box around the whole region: left, top, right, bottom in pixels of the image."""
        if self.boxes is None:
            return None
        return [*map(float, self.boxes[:, :2].min(0)), *map(float, self.boxes[:, 2:].max(0))]

    def of(self, item: Item, objects: Sequence[ObjectAnnotation], size: Size) -> Item:
        """Return the item of the image with the annotations of this target only.

        Args:
            item: The item.
            objects: All annotated objects of the image.
            size: Width and height of the image.
        """
        others = [each for each in objects if self.label is None or each.label != self.label]
        return replace(
            item,
            label=self.label,
            boxes=self.boxes,
            mask=self.mask,
            other_objects_mask=partial(_union, others, size) if others and self.boxes is not None else None,
            also_correct=(),
            parts=None,
            render_without=None,
            objects=None,
        )


@dataclass(frozen=True, eq=False)
class DetectionMatches:
    """Which object each detection of an image takes.

    Attributes:
        objects: For each detection that takes one, by its name "box 3", the object.
        unmatched: Names of the detections that take none; those that lie on an object that is to be ignored are in
            neither.
    """

    objects: Mapping[str, ObjectAnnotation]
    unmatched: frozenset[str]


def match_detections(
    regions: Sequence[Region],
    objects: Sequence[ObjectAnnotation],
    output_of: Callable[[int | None], int | None],
) -> DetectionMatches:
    """Match the detections of an image with its annotated objects one to one.

    Args:
        regions: The detections, most probable first, in pixels of the image.
        objects: All annotated objects of the image.
        output_of: Returns the model's output for a class of the data set, or None.
    """
    pairs = [(ANY_CLASS if each.label is None else output_of(each.label), each) for each in objects]
    known = [(index, each) for index, each in pairs if index is not None and each.box is not None]
    boxes = np.array([region.box for region in regions], dtype=np.float64).reshape(-1, 4)
    others = np.array([each.box for _, each in known], dtype=np.float64).reshape(-1, 4)
    detected = [-2 if region.index is None else region.index for region in regions]
    overlaps, shares = box_overlaps(boxes, others)
    matching = match(detected, [index for index, _ in known], overlaps, [o.is_ignored for _, o in known], shares)
    numbered = list(zip(regions, matching.objects, matching.ignored, strict=True))
    return DetectionMatches(
        {region.name: known[number][1] for region, number, _ in numbered if number >= 0},
        frozenset(region.name for region, number, is_ignored in numbered if number < 0 and not is_ignored),
    )


def region_of_detection(region: Region, matches: DetectionMatches | None) -> TargetRegion:
    """Return the annotated box that a detection takes, or the predicted box.

    Args:
        region: The region of the detection, in pixels of the image.
        matches: Which object each detection takes; None if nothing is annotated.
    """
    predicted = np.array([region.box], dtype=np.float64)
    if matches is not None and (found := matches.objects.get(region.name)) is not None:
        return TargetRegion("annotated box", MATCHED, np.asarray(found.box, dtype=np.float64)[None], label=found.label)
    is_unmatched = matches is not None and region.name in matches.unmatched
    return TargetRegion("predicted box", NOT_MATCHED if is_unmatched else None, predicted)


def region_of_box(region: Region, objects: Sequence[ObjectAnnotation] | None) -> TargetRegion:
    """Return the annotated box that agrees with the candidate of a missed object, or the predicted box.

    Args:
        region: The region of the candidate, in pixels of the image.
        objects: Annotated objects of its class, or of an unknown class; None if nothing is annotated.
    """
    predicted = np.array([region.box], dtype=np.float64)
    boxed = [each for each in objects or () if each.box is not None]
    overlaps = [float(box_iou(torch.from_numpy(predicted[0]), torch.as_tensor(each.box))) for each in boxed]
    if overlaps and max(overlaps) >= MIN_IOU:
        best = boxed[int(np.argmax(overlaps))]
        return TargetRegion("annotated box", MATCHED, np.asarray(best.box, dtype=np.float64)[None], label=best.label)
    return TargetRegion("predicted box", None if objects is None else NOT_MATCHED, predicted)


def region_of_mask(
    region: Region, objects: Sequence[ObjectAnnotation] | None, size: Size, *, has_masks: bool
) -> TargetRegion:
    """Return the annotated mask of a region of a segmentation, or the predicted mask.

    Of the mask of all objects of the class and those of each, it is the one with the highest intersection over union,
    which is "matched" from 0.5 on.

    Args:
        region: The predicted region, in pixels of the image.
        objects: Annotated objects of its class; None if nothing is annotated.
        size: Width and height of the image.
        has_masks: Whether any object of the image has a mask.
    """
    predicted = mask_of(region, size[1], size[0])
    assert predicted is not None
    masked = [each for each in objects or () if each.mask is not None]
    if masked:
        groups = [masked, *([each] for each in masked)]
        overlaps = [_mask_iou(predicted, _union(group, size)) for group in groups]
        best = groups[int(np.argmax(overlaps))]
        match = MATCHED if max(overlaps) >= MIN_IOU else NOT_MATCHED
        return _of_mask("annotated mask", match, partial(_union, best, size), best[0].label)
    return _of_mask("predicted mask", NOT_MATCHED if has_masks else None, lambda: predicted, None)


def region_of_point(point: tuple[float, float], objects: Sequence[ObjectAnnotation] | None, size: Size) -> TargetRegion:
    """Return the annotated objects of a class that contain a point `(x, y)`."""
    inside = [each for each in objects or () if _contains(each, point, size)]
    return region_of_class(inside, size) if inside else TargetRegion(match=None if objects is None else NOT_MATCHED)


def region_of_class(objects: Sequence[ObjectAnnotation] | None, size: Size) -> TargetRegion:
    """Return the masks of all objects of a class, or their boxes where one has no mask.

    Args:
        objects: Annotated objects of the class; None if nothing is annotated.
        size: Width and height of the image.
    """
    if not objects:
        return TargetRegion(match=None if objects is None else NOT_MATCHED)
    if all(each.mask is not None for each in objects):
        return _of_mask("annotated mask", MATCHED, partial(_union, objects, size), objects[0].label)
    boxes = np.array([each.box for each in objects if each.box is not None], dtype=np.float64)
    return TargetRegion("annotated box", MATCHED, boxes, label=objects[0].label)


def named_classes(text: str, classes: Sequence[str]) -> frozenset[int]:
    """Return the classes of a data set that a word or a prompt names, such as "dog" in "a photo of two dogs".

    A class is named if all words of its name, or of one of its comma-separated synonyms, follow one another in the
    text, in the singular or the plural.
    """
    words = re.findall(r"\w+", normalize(text))
    named = set()
    for index, name in enumerate(classes):
        for synonym in name.split(","):
            parts = re.findall(r"\w+", normalize(synonym))
            starts = range(len(words) - len(parts) + 1) if parts else ()
            if any(all(map(_same_word, words[i : i + len(parts)], parts)) for i in starts):
                named.add(index)
    return frozenset(named)


def _same_word(word: str, name: str) -> bool:
    return word in (name, f"{name}s", f"{name}es")


def _of_mask(text: str, match: Match | None, mask: Callable[[], Mask], label: int | None) -> TargetRegion:
    rows, columns = np.nonzero(mask())
    if not len(rows):
        return TargetRegion(match=match, label=label)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return TargetRegion(text, match, np.array([box], dtype=np.float64), mask, label)


def _union(objects: Sequence[ObjectAnnotation], size: Size) -> Mask:
    """Return the pixels that objects cover; the box of an object without a mask."""
    width, height = size
    union: Mask = np.zeros((height, width), dtype=bool)
    for each in objects:
        if each.mask is not None:
            union |= np.asarray(each.mask(), dtype=bool)
        elif each.box is not None:
            left, top, right, bottom = map(float, each.box)
            covered = mask_of(Region((left, top, right, bottom)), height, width)
            assert covered is not None
            union |= covered
    return union


def _contains(each: ObjectAnnotation, point: tuple[float, float], size: Size) -> bool:
    column, row = (min(max(int(value), 0), side - 1) for value, side in zip(point, size, strict=True))
    return bool(_union([each], size)[row, column])


def _mask_iou(first: Mask, second: Mask) -> float:
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 0.0
