"""The targets of one image in an evaluation: boxes, regions, words, prompts or classes, each with its own region.

A target of an image is an ordinary model of the same network with a class (see `models.image_targets`), so that methods
and metrics need not know about it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from camlucida.attribution.bind_targets import bind_targets, region_on_image
from camlucida.attribution.class_targets import ClassTarget, class_targets
from camlucida.attribution.output_reader import input_shape, predict
from camlucida.attribution.outputs import to_network
from camlucida.attribution.region_masks import PREFIX as REGION_PREFIX
from camlucida.attribution.similarity_targets import is_like_spec
from camlucida.data.datasets import ObjectAnnotation, annotated_objects
from camlucida.errors import NothingFound, TargetError
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.model_input import ModelInput
from camlucida.evaluation.prediction_rows import target_prediction
from camlucida.evaluation.read_images import LoadedImage
from camlucida.evaluation.records import MAX_TARGETS
from camlucida.evaluation.store import WHOLE_IMAGE_TARGETS
from camlucida.evaluation.target_regions import (
    MATCHED,
    DetectionMatches,
    TargetRegion,
    match_detections,
    named_classes,
    region_of_box,
    region_of_class,
    region_of_detection,
    region_of_mask,
    region_of_point,
)
from camlucida.models.image_targets import WHOLE_IMAGE_KINDS, has_whole_image_classes
from camlucida.models.model import Model
from camlucida.options import shown
from camlucida.target_specs import parse
from camlucida.targets import class_label
from camlucida.types import Region

ALL = "all"
"""The target that means all targets of an image."""
MAX_CLASSES = 20
"""Largest number of classes of a model without boxes, regions or words of which all are targets."""


@dataclass(frozen=True, eq=False)
class EvaluatedTarget:
    """One target of one image.

    Attributes:
        model_input: The image as the bound model processes it, with the annotations of this target only.
        label: The target as text: "dog (box 3)".
        spec: What `explain` takes for it: "box 3"; empty if there is no such text.
        predicted: The class that is predicted there, as text; "" for a missed object.
        confidence: The confidence in it; of a missed object, in its class. See `prediction_rows.target_prediction`.
        region: The region that metrics of localisation use.
    """

    model_input: ModelInput
    label: str
    spec: str
    predicted: str
    confidence: float
    region: TargetRegion


def check_run_target(model: Model, target: str | int) -> None:
    """Raise `TargetError` for a target that no image can have, as far as that is known without the images.

    Args:
        model: The model.
        target: The target of a run: "predicted", "true", "all", or what `explain` takes.
    """
    targets = model.image_targets
    if not isinstance(target, str | int) or isinstance(target, bool):
        raise TargetError(
            f"the target of a data set is 'predicted', 'true', 'all', or what explain takes as text, not "
            f"{shown(target)}."
        )
    if targets is None:
        _check_classes(model, target)
        return
    if targets.kind == "question":
        targets.bind(model, torch.empty(0), None)  # asks for the question
    if not has_whole_image_classes(targets):
        _check_has_class(model, target)
    elif target not in (*WHOLE_IMAGE_TARGETS, ALL):
        _check_known(model, target, WHOLE_IMAGE_KINDS[targets.kind])


def targets_of(dataset_pass: DatasetPass, image: LoadedImage, target: str | int, seed: int) -> list[EvaluatedTarget]:
    """Return all targets of one image that the target of a run means, in order.

    Args:
        dataset_pass: The model and the data set.
        image: The image.
        target: "all", or what `explain` takes.
        seed: Seed of all random numbers.

    Raises:
        TargetError: There is no such box, region, word or class in the image; the message lists what there is.
    """
    model = dataset_pass.model
    found = class_targets(model, image.inputs, specs_of(model, target), image.geometry)
    if len(found) > MAX_TARGETS:
        raise TargetError(f"an image has at most {MAX_TARGETS} targets, and {target!r} means {len(found)}.")
    matches = _detection_matches(dataset_pass, image, found, target)
    return _with_unique_labels([_evaluated(dataset_pass, image, each, seed, matches) for each in found])


def specs_of(model: Model, target: str | int) -> list[str | int | None]:
    """Return what `explain` takes for the target of a run: every box, region, word or class for "all"."""
    if target != ALL:
        return [target]
    return [None] if model.image_targets is not None else list(range(_n_classes(model)))


def _detection_matches(
    dataset_pass: DatasetPass, image: LoadedImage, found: Sequence[ClassTarget], target: str | int
) -> DetectionMatches | None:
    """Return which annotated object each detection of an image takes; None without detections or annotations.

    All detections take part, also where the target of the run is one of them.
    """
    model, objects = dataset_pass.model, annotated_objects(image.item)
    kind = "" if model.image_targets is None else model.image_targets.kind
    if objects is None or kind != "detection" or not any(_is_box(each.bound.region) for each in found):
        return None
    try:
        bound = (
            [each.bound for each in found]
            if target == ALL
            else bind_targets(model, image.inputs, [None], image.geometry)
        )
    except NothingFound:
        return None
    regions = [region_on_image(each.region, image.geometry) for each in bound]
    return match_detections([region for region in regions if region is not None], objects, dataset_pass.output_of)


def _is_box(region: Region | None) -> bool:
    """Return whether a region is that of a detection, and not of a missed object."""
    return region is not None and region.box is not None and not region.is_missed


def _evaluated(
    dataset_pass: DatasetPass, image: LoadedImage, target: ClassTarget, seed: int, matches: DetectionMatches | None
) -> EvaluatedTarget:
    region = _region(dataset_pass, image, target, matches)
    item = region.of(image.item, annotated_objects(image.item) or (), image.geometry.original)
    inputs, labels = to_network(target.model.network, image.inputs[None]), target.model.labels
    label = target.index if region.match == MATCHED and target.is_class else None
    model_input = ModelInput(target.model, item, inputs, image.geometry, target.logits, target.index, label, seed)
    own, is_missed = _class_there(target)
    index, confidence = target_prediction(target.logits, model_input.activation, own, is_missed=is_missed)
    if index is None:
        predicted = ""
    else:
        predicted = _named(target.label) if index == target.index and not labels else class_label(index, labels)
    return EvaluatedTarget(model_input, target.label, target.spec, predicted, confidence, region)


def _class_there(target: ClassTarget) -> tuple[int | None, bool]:
    """Return the class of the box or region of a target, and whether it was missed; None where the scores decide."""
    region = target.bound.region
    is_class = target.is_class and target.model.task != "regression"  # the score of an edge is a coordinate
    if region is None or not is_class or target.bound.spec.startswith(REGION_PREFIX):
        return None, False
    return region.index, region.is_missed


def _region(
    dataset_pass: DatasetPass, image: LoadedImage, target: ClassTarget, matches: DetectionMatches | None
) -> TargetRegion:
    """Return the region that metrics of localisation use for a target."""
    bound, size, objects = target.bound, image.geometry.original, annotated_objects(image.item)
    predicted = region_on_image(bound.region, image.geometry)
    if predicted is None and bound.model is not dataset_pass.model and not is_like_spec(bound.spec):
        named = named_classes(_named(target.label), dataset_pass.data.classes)
        return region_of_class(_of_classes(objects, named), size) if named else TargetRegion()
    index = target.evidence_for if predicted is None else predicted.index
    own = _of_output(dataset_pass, objects, index)
    if predicted is None:
        return region_of_class(own if not is_like_spec(bound.spec) else objects, size)
    if predicted.mask is not None:
        if bound.spec.startswith(REGION_PREFIX):
            own = objects = None
        has_masks = any(each.mask is not None for each in objects or ())
        return region_of_mask(predicted, own, size, has_masks=has_masks)
    if predicted.box is not None:
        return region_of_box(predicted, own) if predicted.is_missed else region_of_detection(predicted, matches)
    return region_of_point(predicted.point, own, size) if predicted.point is not None else TargetRegion()


def _of_output(
    dataset_pass: DatasetPass, objects: Sequence[ObjectAnnotation] | None, index: int | None
) -> list[ObjectAnnotation] | None:
    """Return the objects whose class is an output of the model, or unknown; all for None."""
    if objects is None:
        return None
    return [
        each for each in objects if index is None or each.label is None or dataset_pass.output_of(each.label) == index
    ]


def _of_classes(objects: Sequence[ObjectAnnotation] | None, classes: frozenset[int]) -> list[ObjectAnnotation] | None:
    return None if objects is None else [each for each in objects if each.label in classes]


def _named(label: str) -> str:
    """Return the word or prompt of a label, without its number and what it is compared with."""
    return re.sub(r"\s*\([^()]*\)$", "", label).partition(" rather than ")[0]


def _with_unique_labels(targets: Sequence[EvaluatedTarget]) -> list[EvaluatedTarget]:
    """Return targets whose labels differ: those of classes with one name are followed by what means each."""
    labels = [each.label for each in targets]
    return [
        replace(each, label=f"{each.label} ({each.spec or number})") if labels.count(each.label) > 1 else each
        for number, each in enumerate(targets)
    ]


def _check_classes(model: Model, target: str | int) -> None:
    """Raise `TargetError` for a target that a model without boxes, regions and words does not have."""
    if target in WHOLE_IMAGE_TARGETS or is_like_spec(target, model.labels):
        return
    n_classes = _n_classes(model)
    if target != ALL:
        try:
            parse(target, torch.zeros(1, n_classes), model.labels)
        except TargetError as error:
            raise TargetError(f"{error} The target of a run is 'predicted' or 'true', or what explain takes.") from None
    elif n_classes > MAX_CLASSES:
        raise TargetError(
            f"'all' means every box, region or word of an image, or every class of a model with at most {MAX_CLASSES}, "
            f"and this classifier has {n_classes}. Use 'predicted', 'true', 'top3', or a class."
        )


def _check_known(model: Model, target: str | int, example: str) -> None:
    """Raise `TargetError` for what is neither a class nor a box or region, by asking for it in a black image."""
    try:
        bound = bind_targets(model, torch.zeros(input_shape(model)), [target])
    except TargetError:
        return  # it depends on the image
    if not any(each.model is model for each in bound):
        return
    try:
        parse(target, torch.zeros(1, _n_classes(model)), model.labels)
    except TargetError as error:
        raise TargetError(f"{error} Targets of each image are 'all' and what explain takes: {example!r}.") from None


def _check_has_class(model: Model, target: str | int) -> None:
    """Raise `TargetError` for a whole-image class of a model that has none."""
    assert model.image_targets is not None
    is_text = model.image_targets.kind == "caption"
    if is_text and target not in WHOLE_IMAGE_TARGETS:
        return
    if is_text:
        raise TargetError(
            f"{model.name} writes a text and has class scores for every word, but none of the whole image. Use "
            "target='all' (--target all) for every word, or name one: 'word 2'."
        )
    if target in (*WHOLE_IMAGE_TARGETS, ALL):
        raise TargetError(
            f"{model.name} compares images with texts and has no classes. Make classes of prompts: "
            "model.with_prompts(['a dog', 'a cat']) (--prompts \"a dog, a cat\"); or name one: 'text:a dog'."
        )


def _n_classes(model: Model) -> int:
    """Return the number of classes of a model; without names the network runs once on a black image."""
    if model.labels:
        return len(model.labels)
    return predict(model, to_network(model.network, torch.zeros(1, *input_shape(model))))[0].shape[1]
