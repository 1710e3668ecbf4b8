"""The rows of one image: its detections, regions or words, compared with the annotated objects; and what was missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from camlucida.attribution.bind_targets import ImageBinder, mask_of, region_on_image
from camlucida.audits.plan import AuditPlan
from camlucida.audits.targets.explain import class_of
from camlucida.audits.targets.objects import AnnotatedImage, ImageObject
from camlucida.audits.targets.words import bind_words
from camlucida.errors import NothingFound, TargetError
from camlucida.evaluation.matching import box_overlaps, mask_overlaps, match
from camlucida.evaluation.read_images import LoadedImage
from camlucida.models.image_targets import BoundTarget
from camlucida.types import Geometry, Region

Outcome: TypeAlias = Literal["correct", "false", "missed", "ignored", "nothing"]
"""Correct: matches an object. False: matches none. Missed: an object that nothing matches. Ignored: lies on an object
that is to be ignored. Nothing: the image has neither a detection nor an object. None is unknown."""


@dataclass(frozen=True, eq=False)
class TargetRow:
    """One row of an image.

    Attributes:
        outcome: What became of it; None if the annotations do not tell.
        bound: The target, as one of an ordinary model; None if there is none to explain.
        label_index: The class of its object, an output of the model; None without one.
        own: The part of the image that it is about, in pixels of the image: the detection's own box or region, or that
            of a missed object; None if it is unknown.
        true: The region of its object, likewise.
        iou: Intersection over union of both; None without an object.
        label: The name of its object where the model has no such output, as for words.
        candidate: The region of the candidate that is explained instead of a missed object; None for other rows.
    """

    outcome: Outcome | None
    bound: BoundTarget | None = None
    label_index: int | None = None
    own: Region | None = None
    true: Region | None = None
    iou: float | None = None
    label: str | None = None
    candidate: Region | None = None


def rows_of(plan: AuditPlan, image: LoadedImage) -> list[TargetRow]:
    """Return the rows of one image: its targets in their order, then the missed objects; at least one.

    Raises:
        CamlucidaError: The network fails on the image, or has no targets of one image.
    """
    annotated = AnnotatedImage.of(image.item, plan.output_of)
    binder = ImageBinder(plan.model, image.inputs, image.geometry)
    try:
        bound = binder.bind([None])
    except NothingFound:
        bound = []
    kind = kind_of(plan)
    if kind in ("caption", "question"):
        rows = [
            TargetRow(each.outcome, each.bound, own=each.region, true=each.region, label=each.label)
            for each in bind_words(plan.data.classes, image.item, bound)
        ]
        return rows or [TargetRow("nothing")]
    if kind == "segmentation":
        rows = _region_rows(binder, bound, annotated, image.geometry, plan.model.labels)
    else:
        rows = _box_rows(binder, bound, annotated, image.geometry, plan.model.labels)
    return rows or [TargetRow("nothing")]


def kind_of(plan: AuditPlan) -> str:
    """Return the kind of the targets of the model: "detection", "segmentation", "caption" or "question"."""
    targets = plan.model.image_targets
    return "" if targets is None else targets.kind


def _box_rows(
    binder: ImageBinder,
    bound: Sequence[BoundTarget],
    annotated: AnnotatedImage,
    geometry: Geometry,
    labels: Sequence[str],
) -> list[TargetRow]:
    """Return the rows of a detector: all detections, and the missed objects.

    Objects are compared with all detections, also with those beyond the number of which is explained.
    """
    further = [(index, region_on_image(region, geometry)) for index, region in binder.further()]
    regions = [region_on_image(each.region, geometry) for each in bound]
    classes = [class_of(each) for each in bound] + [index for index, _ in further]
    boxes = [_box_of(region) for region in [*regions, *(region for _, region in further)]]
    objects = [each for each in annotated.objects if each.box is not None]
    overlaps, shares = box_overlaps(_as_array(boxes), _as_array([each.box or () for each in objects]))
    matching = match(classes, [each.index for each in objects], overlaps, [each.is_ignored for each in objects], shares)
    rows = []
    for i, each in enumerate(bound):
        number = matching.objects[i]
        row = TargetRow(None, each, own=regions[i])
        if number >= 0:
            found = objects[number]
            row = TargetRow("correct", each, found.index, regions[i], found.region(), matching.ious[i])
        elif matching.ignored[i]:
            row = replace(row, outcome="ignored")
        elif annotated.is_known(classes[i]):
            row = replace(row, outcome="false")
        rows.append(row)
    for number in matching.missed:
        left, top, right, bottom = objects[number].box or (0.0,) * 4
        spec = f"{spelled(objects[number].index, labels)} at {(left + right) / 2:.6g},{(top + bottom) / 2:.6g}"
        rows.append(_missed(binder, objects[number], spec, geometry))
    return rows


def _region_rows(
    binder: ImageBinder,
    bound: Sequence[BoundTarget],
    annotated: AnnotatedImage,
    geometry: Geometry,
    labels: Sequence[str],
) -> list[TargetRow]:
    """Return the rows of a segmentation network: the regions of all classes, and the classes that were missed."""
    width, height = geometry.original
    truth = annotated.class_masks(height, width)
    regions = [region_on_image(each.region, geometry) for each in bound]
    masks = [np.zeros((height, width), dtype=np.bool_) if r is None else mask_of(r, height, width) for r in regions]
    found = [np.zeros((height, width), dtype=np.bool_) if mask is None else mask for mask in masks]
    classes, true_classes = [class_of(each) for each in bound], list(truth)
    overlaps, shares = mask_overlaps(found, list(truth.values()))
    matching = match(classes, true_classes, overlaps, [False] * len(truth), shares)
    rows = []
    for i, each in enumerate(bound):
        number = matching.objects[i]
        if number >= 0:
            true = _mask_region(truth[true_classes[number]])
            rows.append(TargetRow("correct", each, true_classes[number], regions[i], true, matching.ious[i]))
        else:
            complete = annotated.known is None and all(o.mask is not None for o in annotated.objects)
            known = complete or classes[i] in truth
            rows.append(TargetRow("false" if known else None, each, own=regions[i]))
    for number in matching.missed:
        index = true_classes[number]
        mask = truth[index]
        missing = mask.copy()
        for i, predicted in enumerate(found):
            if classes[i] == index:
                missing &= ~predicted
        x, y = _middle_of(missing if missing.any() else mask)
        this = ImageObject(index, None, lambda mask=mask: mask)  # type: ignore[misc]
        rows.append(_missed(binder, this, f"class:{spelled(index, labels)} at {x:.6g},{y:.6g}", geometry))
    return rows


def _missed(binder: ImageBinder, missed: ImageObject, spec: str, geometry: Geometry) -> TargetRow:
    """Return the row of an object that was missed; without a target where the network does not see its middle."""
    region = missed.region()
    row = TargetRow("missed", None, missed.index, region, region)
    try:
        (bound,) = binder.bind([spec])
    except TargetError:
        return row
    return replace(row, bound=bound, candidate=region_on_image(bound.region, geometry))


def spelled(index: int, labels: Sequence[str]) -> str:
    """Return how a class is written in a target: its name if that means this class only, else its index."""
    if index >= len(labels) or list(labels).count(labels[index]) > 1 or " rather than " in labels[index]:
        return str(index)
    return labels[index]


def _box_of(region: Region | None) -> Sequence[float]:
    return (0.0,) * 4 if region is None or region.box is None else region.box


def _as_array(boxes: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _mask_region(mask: NDArray[np.bool_]) -> Region:
    return Region(mask=torch.from_numpy(mask))


def _middle_of(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the center of the pixel of a mask that is nearest to its center of mass, as (x, y)."""
    rows, columns = np.nonzero(mask)
    nearest = int(((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin())
    return float(columns[nearest]) + 0.5, float(rows[nearest]) + 0.5
