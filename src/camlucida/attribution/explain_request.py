"""Explain images for a validated request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.attributions import Attribution, attributions, attributions_of_images
from camlucida.attribution.bind_targets import needs_binding
from camlucida.attribution.build_explanations import each_map
from camlucida.attribution.error_context import error_context, input_context, source_name
from camlucida.attribution.explain_image_targets import explain_image_targets
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.attribution.load_input import ImageInput, LoadedInput
from camlucida.attribution.load_volume_input import Loaded, load_any
from camlucida.attribution.request import AttributionRequest
from camlucida.attribution.several_inputs import load_inputs
from camlucida.errors import TargetError
from camlucida.models.model import Model


@plain_arithmetic()
def explained(
    model: Model,
    image: ImageInput | Mapping[str, Any],
    request: AttributionRequest,
    loaded: Loaded | Exception | None = None,
) -> Explanation | ExplanationSet:
    """Return the explanation, or the set of explanations, of one image for a request.

    Args:
        model: The model.
        image: The image.
        request: The request.
        loaded: What was loaded of the image already, or the error of loading it; None to load it.

    Raises:
        CamlucidaError: As in `explain`.
    """
    with error_context(model, image):
        if isinstance(loaded, Exception):
            raise loaded
        if isinstance(image, Mapping):
            return _explain_inputs(model, image, request)
        return _explain(model, image, request, load_any(model, image) if loaded is None else loaded)


@plain_arithmetic()
def explained_together(
    model: Model, images: Sequence[tuple[ImageInput, LoadedInput]], request: AttributionRequest
) -> list[Explanation | ExplanationSet | None]:
    """Return what `explained` returns for each of several images, from one run of the network on all of them.

    Args:
        model: The model, whose targets need no binding.
        images: Images with what was loaded of them; their network inputs have one size.
        request: The request; its targets are class names or indices, or None.

    Returns:
        The explanation of each image; None where it must be explained alone, since its scores are not finite or a map
        is zero, which is an error for some reasons.

    Raises:
        CamlucidaError: As in `explain`, for any of the images.
    """
    weights = model.weights_hash
    result = attributions(model, torch.stack([loaded.inputs for _, loaded in images]), request)
    explanations: list[Explanation | ExplanationSet | None] = []
    for i, (image, loaded) in enumerate(images):
        if not _is_complete(request, result, i):
            explanations.append(None)
            continue
        items = tuple(each_map(model, weights, source_name(image), loaded, request, result, i=i))
        explanations.append(ExplanationSet(items) if request.several or len(items) > 1 else items[0])
    return explanations


def _is_complete(request: AttributionRequest, result: Attribution, i: int) -> bool:
    """Return whether the scores of an image are finite, and each method has a map of it that is not zero."""
    scores = result.output[i]
    return not bool((scores.isnan() | scores.isposinf()).any()) and all(
        method.class_free or any(bool(map_[i].any()) for row in rows for map_ in row)
        for (method, _), rows in zip(request.methods, result.maps, strict=True)
    )


def explained_batch(model: Model, images: Tensor, request: AttributionRequest) -> list[Explanation | ExplanationSet]:
    """Return what `explained` returns for each image of a batch.

    Args:
        model: The model.
        images: Network inputs `(b, c, H, W)`.
        request: The request; a target that is a tensor `(b,)` holds one class per image.

    Raises:
        CamlucidaError: As in `explain`; a target has another number of classes than there are images.
    """
    per_image = [spec for spec in request.targets if isinstance(spec, Tensor) and spec.ndim]
    for spec in per_image:
        if len(spec) != len(images):
            raise TargetError(
                f"{len(spec)} target indices for a batch of {len(images)} images: give one index per image."
            )
    explanations = []
    for i, image in enumerate(images):
        targets = [spec[i : i + 1] if isinstance(spec, Tensor) and spec.ndim else spec for spec in request.targets]
        explanation = explained(model, image, replace(request, targets=targets))
        explanations.append(_renamed(explanation, f"Tensor[{i}]"))
    return explanations


def _renamed(explanation: Explanation | ExplanationSet, source: str) -> Explanation | ExplanationSet:
    """Return an explanation, or a set, with another name of its image."""
    if isinstance(explanation, Explanation):
        return replace(explanation, source=source)
    return ExplanationSet(tuple(replace(item, source=source) for item in explanation))


def _explain(
    model: Model, image: ImageInput, request: AttributionRequest, loaded: Loaded
) -> Explanation | ExplanationSet:
    weights = model.weights_hash
    if needs_binding(model, request.targets):
        return explain_image_targets(model, weights, source_name(image), request, loaded)
    with input_context(loaded):
        result = attributions(model, loaded.inputs[None], request)
    explanations = ExplanationSet(
        tuple(each_map(model, weights, source_name(image), loaded, request, result)),
    )
    return explanations if request.several or len(explanations) > 1 else explanations.items[0]


def _explain_inputs(
    model: Model, given: Mapping[str, Any], request: AttributionRequest
) -> Explanation | ExplanationSet:
    """Explain each image of a network with several inputs, while the other inputs are held."""
    inputs = load_inputs(model, given)
    weights = model.weights_hash
    with input_context(inputs.first):
        results = attributions_of_images(inputs.model, inputs.arguments, request)
    items = [
        explanation
        for name, result in results.items()
        for explanation in each_map(
            inputs.model, weights, source_name(inputs.sources[name]), inputs.images[name], request, result, name
        )
    ]
    return ExplanationSet(tuple(items)) if request.several or len(items) > 1 else items[0]
