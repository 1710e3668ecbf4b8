"""The class scores and maps of a batch of images, computed together before each image is measured by itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from camlucida.attribution.error_context import raised_by_network
from camlucida.attribution.method_choice import is_quick
from camlucida.attribution.output_reader import predict
from camlucida.attribution.outputs import to_network
from camlucida.engine.cost import track_cost
from camlucida.errors import CamlucidaError
from camlucida.evaluation.baselines import RandomWeights
from camlucida.evaluation.batch_size import measured_batch_size
from camlucida.evaluation.metric_inputs import Explainer, MethodExplainer
from camlucida.evaluation.model_input import KnownMap, KnownOutputs, explained_class
from camlucida.evaluation.plan import PART_IMAGES, Plan
from camlucida.evaluation.prediction_rows import batch_outputs
from camlucida.evaluation.read_images import LoadedImage, ReadImage, UnreadableImage, stacked

ONE_CLASS = ("predicted", "true")
"""Targets that are one class of each image."""


def with_outputs(plan: Plan, batch: Sequence[ReadImage]) -> Sequence[ReadImage]:
    """Return the images of a batch with their class scores and those of their maps that are computed together.

    Where the network fails on an image, and where a map is zero, which is an error for some reasons, the image has no
    such output: it is computed when the image is measured, and so is its error.
    """
    if len(batch) < 2 or not _has_one_class(plan):
        return batch
    scores = {
        image.index: output
        for image, output in zip(batch, batch_outputs(plan, batch, lambda images: _predict(plan, images)), strict=True)
        if isinstance(output, Tensor)
    }
    classes = {
        image.index: explained_class(scores[image.index], plan.output_of(image.item.label), str(plan.target))
        for image in batch
        if isinstance(image, LoadedImage) and image.index in scores
    }
    # Images that failed stay in the batch: the maps of the others are those of the complete batch, bit for bit.
    predicted = [image if image.index in scores else UnreadableImage(image.index, image.item, "") for image in batch]
    maps: dict[int, dict[str, KnownMap]] = {index: {} for index in classes}
    for explainer in filter(is_joint, plan.explainers):

        def explain(images: Sequence[LoadedImage], explainer: Explainer = explainer) -> list[KnownMap]:
            return _explain(plan, explainer, images, [classes[image.index] for image in images])

        for image, known in zip(predicted, batch_outputs(plan, predicted, explain), strict=True):
            if isinstance(known, KnownMap) and bool(known.map.any()):
                maps[image.index][explainer.name] = known
    outputs = {index: KnownOutputs(scores[index], classes[index], maps[index]) for index in classes}
    return [
        replace(image, outputs=outputs.get(image.index)) if isinstance(image, LoadedImage) else image for image in batch
    ]


def is_joint(explainer: Explainer) -> bool:
    """Return whether the maps of several images are computed together.

    Methods that run the network many times choose batches of their own, and most controls are computed from one image.
    """
    method = explainer.base if isinstance(explainer, RandomWeights) else explainer
    return isinstance(method, MethodExplainer) and is_quick(method.request[0])


def evaluation_batch_size(plan: Plan) -> int:
    """Return the number of images whose maps are computed together: 1 if there is less than one part of images."""
    if len(plan.indices) < PART_IMAGES or not _has_one_class(plan):
        return 1

    def explain(inputs: Tensor) -> Tensor:
        scores, _ = predict(plan.model, to_network(plan.model.network, inputs).clone())
        for explainer in plan.explainers:
            if isinstance(explainer, MethodExplainer) and is_joint(explainer):
                try:
                    explainer.maps_of(plan.model, inputs, scores.argmax(1))
                except CamlucidaError:  # it does not fit the model, and will be a row with the reason
                    continue
        return scores

    try:
        return min(PART_IMAGES, measured_batch_size(plan, explain))
    except CamlucidaError:
        return 1  # every image will be a row with the reason
    except Exception as error:
        if not raised_by_network(error):
            raise
        return 1


def _has_one_class(plan: Plan) -> bool:
    """Return whether the target is a class of the whole image, of a network without targets of its own in an image."""
    return plan.target in ONE_CLASS and plan.model.image_targets is None


def _predict(plan: Plan, images: Sequence[LoadedImage]) -> list[Tensor]:
    scores, _ = predict(plan.model, to_network(plan.model.network, stacked(images)).clone())
    return list(scores)


def _explain(plan: Plan, explainer: Explainer, images: Sequence[LoadedImage], classes: Sequence[int]) -> list[KnownMap]:
    """Return the map of each image, with its part of the cost."""
    inputs, start = to_network(plan.model.network, stacked(images)), time.perf_counter()
    model_input = images[0].model_input(plan, torch.zeros(0), classes[0])
    with track_cost() as cost:
        maps = explainer.maps(replace(model_input, seed=plan.seed), inputs, torch.tensor(classes))
    n = len(images)
    seconds = time.perf_counter() - start
    return [KnownMap(map_, cost.forwards / n, seconds / n) for map_ in maps]
