"""Explain images for a validated request."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from torch import Tensor

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.attributions import attributions, attributions_of_images
from camlucida.attribution.batches import read_ahead
from camlucida.attribution.bind_targets import needs_binding
from camlucida.attribution.build_explanations import each_map
from camlucida.attribution.error_context import error_context, input_context, source_name
from camlucida.attribution.explain_image_targets import explain_image_targets
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.attribution.load_input import ImageInput
from camlucida.attribution.load_volume_input import Loaded, load_any
from camlucida.attribution.request import AttributionRequest
from camlucida.attribution.several_inputs import load_inputs, with_others
from camlucida.data.volumes import is_volume_path
from camlucida.errors import CamlucidaError, TargetError
from camlucida.models.model import Model


def explain_requests(
    model: Model, images: Iterable[ImageInput], request: AttributionRequest, others: Mapping[str, Any] | None = None
) -> Iterator[tuple[ImageInput, Explanation | ExplanationSet | CamlucidaError]]:
    """Yield each image with its explanation, or with the error where it cannot be explained.

    Args:
        model: The model.
        images: The images. Files of a list are read while the network runs on earlier ones; an iterator is consumed one
            image at a time.
        request: The request.
        others: Further inputs of the network by name, which are the same for every image.
    """
    for image, loaded in _read(model, images, others):
        try:
            given = with_others(model, image, others) if others else image
            result = explained(model, given, request, loaded)
        except CamlucidaError as error:
            yield image, error
        else:
            yield image, result


def _read(
    model: Model, images: Iterable[ImageInput], others: Mapping[str, Any] | None
) -> Iterator[tuple[ImageInput, Loaded | Exception | None]]:
    """Yield each image with what was loaded of it, or with the error; with None for images that are not read ahead."""
    if not isinstance(images, Sequence) or others or model.image or model.volume is not None:
        yield from ((image, None) for image in images)
        return

    def read(image: ImageInput) -> Loaded | Exception | None:
        if not isinstance(image, str | os.PathLike) or is_volume_path(image):
            return None  # in memory already, or too large to hold several
        try:
            return load_any(model, image)
        except Exception as error:  # raised where the image is explained
            return error

    with closing(read_ahead(read, ([image] for image in images))) as batches:
        for image, (loaded,) in zip(images, batches, strict=True):
            yield image, loaded


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
