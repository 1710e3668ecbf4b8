"""All reliability tests of an explanation, in `trust`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.bind_targets import bind_one, mask_of, needs_binding, region_on_image, spec_on_image
from camlucida.attribution.error_context import error_context, source_name
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.load_input import ImageInput, load_input
from camlucida.attribution.request import INPUT, MethodSpec
from camlucida.attribution.several_inputs import load_inputs
from camlucida.attribution.similarity_targets import is_like_spec
from camlucida.attribution.video_explanation import VideoExplanation
from camlucida.attribution.volume_explanation import VolumeExplanation
from camlucida.engine import LayerSpec
from camlucida.errors import CamlucidaError, DataError, MethodError, TargetError
from camlucida.evaluation.metric_inputs import MetricInputs
from camlucida.evaluation.model_input import ModelInput
from camlucida.layer_names import layer_names
from camlucida.maps import to_image_grid
from camlucida.methods import Combined, find
from camlucida.models.image_names import forward_parameters
from camlucida.models.image_targets import BoundTarget
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.options import Count, Seed, checked_arguments, shown
from camlucida.reliability.confidence import border_test, confidence
from camlucida.reliability.inputs import metric_inputs_of
from camlucida.reliability.position_test import position_test
from camlucida.reliability.result import Trust, to_pixels
from camlucida.reliability.similarity import (
    ClassSimilarity,
    class_similarities,
    noise_similarities,
    other_classes,
    shift_similarities,
)
from camlucida.reliability.verdict import RegionTest
from camlucida.targets import class_label
from camlucida.types import ProgressCallback


@checked_arguments(MethodError)
@plain_arithmetic()
def trust(
    model: Model | nn.Module | str,
    image: ImageInput | Explanation | Mapping[str, Any],
    *,
    method: MethodSpec | None = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    target: str | int | None = None,
    region: NDArray[np.bool_] | None = None,
    n_windows: Count = 36,
    seed: Seed = 0,
    progress: ProgressCallback | None = None,
) -> Trust:
    """Test whether one map can be trusted.

    The tests are: is the prediction confident? Does the target's score depend on the positions where the map is high,
    more than on others? Is the map specific to the class? Is it stable? Does the border of the image decide? They take
    about 125 forward passes.

    Args:
        model: As in `explain`.
        image: An image; or an `Explanation`, whose method, layer and class are used; or a dict of all inputs of a
            network that takes several, of which the image is changed and the others are held.
        method: One attribution method, as in `explain`; None for the default one. Options are part of it:
            "rise(n=500)".
        layer: One layer, as in `explain` (called `target_layer` in pytorch-grad-cam).
        target: One class, by name or index; None for the predicted class. For detectors, segmentation networks and
            captions one box, region or word, as in `explain`; None for the first.
        region: Where the evidence should lie, such as the mask of the object `(height, width)`, bool, on the image.
            Without it no test can tell whether the model is right for the right reason. None takes the box or mask of
            the target, where it has one.
        n_windows: Number of positions at which the image is blurred for the test of the map's position: 36; or, for
            slow networks, 16, which give the test less power. Each takes three forward passes.
        seed: Seed of all random choices.
        progress: Called with the number of forward passes done and the total number.

    Returns:
        The results of all tests, and the verdict.

    Raises:
        CamlucidaError: As in `explain`.
    """
    wrapped = as_model(model)
    request: dict[str, Any]
    source: ImageInput
    given: ImageInput | Explanation
    if isinstance(image, VolumeExplanation | VideoExplanation):
        raise MethodError(
            "trust tests the map of an image, and this is the explanation of a volume or a video. Its tests move the "
            "map in two dimensions."
        )
    if isinstance(image, Mapping):
        with error_context(wrapped, image):
            wrapped, given = load_inputs(wrapped, image).with_others_held()
    else:
        given = image
    if isinstance(given, Explanation):
        if given.input and set(forward_parameters(wrapped.network)) - {*wrapped.held, given.input}:
            raise MethodError(
                f"this explanation is of the input {given.input!r} of a network with several, whose other inputs it "
                "does not contain: pass the dict of all inputs, with method=, layer= and target=."
            )
        if given.index is None and not given.spec:
            raise TargetError(f"trust tests the map of a class, and this explanation is of {given.target!r}.")
        request = _request_of(given)
        source, name = given.image if given.array is None else given.array, given.source
    else:
        request = {"method": method, "layer": layer_names(wrapped.network, layer), "target": target}
        source, name = given, source_name(given)
    with error_context(wrapped, source):
        return _run_tests(wrapped, source, name, request, region, n_windows, seed, progress)


def _request_of(explanation: Explanation) -> dict[str, Any]:
    """Return the arguments that reproduce the map of an explanation."""
    method = find(explanation.method)
    layer: Any = re.sub(r" \(call \d+ of \d+\)", "", explanation.layer)
    if explanation.layer == INPUT:
        layer = None
    elif method.fuses_layers:
        layer = layer.split("+")
    options = {} if isinstance(method, Combined) else dict(explanation.options)
    return {"method": method, "layer": layer, "target": explanation.spec or explanation.index, "options": options}


def trust_each(
    model: Model | nn.Module | str, images: Iterable[ImageInput], **kwargs: Any
) -> Iterator[tuple[ImageInput, Trust | CamlucidaError]]:
    """Apply `trust` to many images, one after the other.

    Args:
        model: As in `explain`.
        images: The images.
        **kwargs: Options of `trust`.

    Yields:
        Each image with its result, or with the error of an image that cannot be tested.
    """
    wrapped = as_model(model)
    for image in images:
        try:
            yield image, trust(wrapped, image, **kwargs)
        except CamlucidaError as error:
            yield image, error


def _run_tests(
    model: Model,
    source: ImageInput,
    name: str,
    request: Mapping[str, Any],
    region: NDArray[np.bool_] | None,
    n_windows: int,
    seed: int,
    progress: ProgressCallback | None,
) -> Trust:
    """Run all tests of one map."""
    loaded = load_input(model.preprocessing, source)
    label, own_region, input_region = "", None, None
    if needs_binding(model, [request["target"]]):
        bound = bind_one(model, loaded.inputs, request["target"], loaded.geometry, "trust tests")
        _check_has_competitors(bound, request["target"])
        label = spec_on_image(bound.label, loaded.geometry)
        model, request = bound.model, {**request, "target": bound.target}
        input_region, own_region = bound.region, region_on_image(bound.region, loaded.geometry)
        if region is None and own_region is not None:
            region = mask_of(own_region, loaded.image.height, loaded.image.width)
    metric_inputs = metric_inputs_of(model, loaded.source, **request, seed=seed, progress=progress, name=name)
    model_input, explainer = metric_inputs.model_input, metric_inputs.explainer
    map_ = metric_inputs.relevance.cpu()
    position = position_test(model_input, map_, n_windows=n_windows, progress=progress)
    classes, noise, shifts = _similar_maps(metric_inputs) if position is not None else ((), (), ())
    preprocessing = model.preprocessing
    occluded = (
        model_input.inputs[0] if position is None else _occluded(model_input, position.highlighted, position.infill)
    )
    return Trust(
        target=label or class_label(model_input.target, model.labels),
        predicted=class_label(int(model_input.logits.argmax()), model.labels),
        probability=float(model_input.activation.probabilities(model_input.logits)[model_input.target]),
        confidence=confidence(model_input.logits, model_input.activation, model_input.target),
        position_test=position,
        border_test=border_test(model_input, None if position is None else position.highlighted),
        classes=classes,
        noise=noise,
        shifts=shifts,
        region=None if region is None else _region_test(map_, model_input, region),
        method=explainer.name,
        layer=str(request["layer"] if request["layer"] is not None else ""),
        model=model.name,
        source=name,
        seed=seed,
        image=loaded.image,
        geometry=model_input.geometry,
        map=map_,
        input_pixels=to_pixels(model_input.inputs[0], preprocessing.mean, preprocessing.std),
        occluded_pixels=to_pixels(occluded, preprocessing.mean, preprocessing.std),
        target_region=own_region,
        input_region=input_region,
    )


def _check_has_competitors(bound: BoundTarget, spec: Any) -> None:
    """Raise `TargetError` for a value without a probability: one prompt alone, or the similarity to an image."""
    if bound.model.task != "regression" or not isinstance(spec, str):
        return
    if is_like_spec(spec):
        raise TargetError(
            "trust tests the probability of a class, and the similarity of two images is a cosine without one. What "
            "can be done: explain(…, method='occlusion'), which measures how the cosine falls where the image is "
            "covered; and 'like:b.jpg rather than c.jpg', which shows whether the map depends on the reference."
        )
    raise TargetError(
        f"trust tests the probability of a class, and one prompt alone has none. Name prompts that compete with it: "
        f"'{spec} among a cat, a car'; or make all of them classes: model.with_prompts([…]), --prompts."
    )


def _similar_maps(metric_inputs: MetricInputs) -> tuple[tuple[ClassSimilarity, ...], ...]:
    """Return the similarities to the maps of other classes, of noisy copies and of shifted copies."""
    classes = other_classes(metric_inputs)
    names = [class_label(k, metric_inputs.model_input.model.labels) for k in classes]
    return (
        class_similarities(metric_inputs, classes, names),
        noise_similarities(metric_inputs),
        shift_similarities(metric_inputs),
    )


def _occluded(model_input: ModelInput, highlighted: Tensor, infill: Tensor) -> Tensor:
    """Return the network input with the highlighted region blurred."""
    weight = highlighted.to(model_input.inputs)
    return model_input.inputs[0] * (1 - weight) + infill.to(model_input.inputs) * weight


def _region_test(map_: Tensor, model_input: ModelInput, region: NDArray[np.bool_]) -> RegionTest:
    """Compute the fraction of the map in the region, over the part of the image that the network input contains."""
    try:
        mask = torch.as_tensor(np.asarray(region)).bool()
    except (TypeError, ValueError, RuntimeError):
        raise DataError(f"a region is a boolean array with one value per pixel, not {shown(region)}.") from None
    width, height = model_input.geometry.original
    if tuple(mask.shape) != (height, width):
        raise DataError(
            f"the region has shape {tuple(mask.shape)}, the image {(height, width)}: (height, width) must be equal."
        )
    image_map = to_image_grid(map_, model_input.geometry)
    valid = ~image_map.isnan()
    saliency = image_map.nan_to_num().clamp_min(0).double()
    total = float(saliency.sum())
    inside = float(saliency[mask].sum()) / total if total > 0 else 0.0
    return RegionTest(inside, float(mask[valid].double().mean()))
