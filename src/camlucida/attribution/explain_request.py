"""Explain images for a validated request, and predict their classes without a map."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

import camlucida
from camlucida._ambient import plain_arithmetic
from camlucida.attribution.attribute import Attribution, attributions, attributions_of_images
from camlucida.attribution.batches import read_ahead
from camlucida.attribution.bind_targets import bind_targets, needs_binding, region_on_image, spec_on_image
from camlucida.attribution.error_context import error_context, raised_by_network, source_name
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.attribution.load_input import ImageInput, LoadedInput, load_input
from camlucida.attribution.load_volume_input import Loaded, LoadedVideo, LoadedVolume, load_any
from camlucida.attribution.output_reader import predict
from camlucida.attribution.request import INPUT, AttributionRequest
from camlucida.attribution.several_inputs import load_inputs, with_others
from camlucida.attribution.similarity_targets import both_ways
from camlucida.attribution.video_explanation import VideoExplanation
from camlucida.attribution.volume_explanation import VolumeExplanation
from camlucida.data.volumes import is_volume_path
from camlucida.errors import CamlucidaError, ImageError, ModelError, TargetError
from camlucida.models.detection.torchvision import adapter_of
from camlucida.models.detection.wrap import is_detector
from camlucida.models.image_targets import BoundTarget
from camlucida.models.keras.backends import is_keras_model
from camlucida.models.load import load, wrap
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.segmentation.recognise import model_of
from camlucida.options import shown
from camlucida.render.volume_views import grey_image
from camlucida.targets import ClassScore, Target, class_label
from camlucida.tasks import OutputActivation
from camlucida.types import Geometry, Prediction

N_PREDICTIONS = 5
"""Number of predictions in an explanation."""


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


def iterated(images: Any) -> Iterator[ImageInput]:
    """Return an iterator over several images.

    Raises:
        ImageError: A single image was given, or no iterable.
    """
    single = isinstance(images, str | bytes | bytearray | Image.Image | Mapping) or getattr(images, "ndim", 4) < 4
    if single or isinstance(images, type) or not isinstance(images, Iterable):
        raise ImageError(
            f"images is a list or another iterable of images, not {shown(images)}. Put one image in a list."
        )
    return iter(images)


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
        return _explain_image_targets(model, weights, source_name(image), request, loaded)
    with _input_context(loaded):
        result = attributions(model, loaded.inputs[None], request)
    explanations = ExplanationSet(
        tuple(_each_map(model, weights, source_name(image), loaded, request, result)),
    )
    return explanations if request.several or len(explanations) > 1 else explanations.items[0]


def _explain_image_targets(
    model: Model, weights: str, source: str, request: AttributionRequest, loaded: Loaded
) -> Explanation | ExplanationSet:
    """Explain the boxes, regions, prompts or words of one image, each as a target of a model that is bound to it."""
    if not isinstance(loaded, LoadedInput):
        raise ModelError(
            "boxes, regions, prompts, words and similarities are explained on images, and this is a volume or a video."
        )
    with _input_context(loaded):
        targets = bind_targets(model, loaded.inputs, request.targets, loaded.geometry)
    items = [item for bound in targets for item in _each_bound(model, bound, weights, source, request, loaded)]
    methods = list(dict.fromkeys(item.method for item in items))
    items.sort(key=lambda item: methods.index(item.method))  # by method, then target and layer, as of all sets
    return ExplanationSet(tuple(items)) if request.several or len(items) > 1 else items[0]


def _each_bound(
    model: Model, bound: BoundTarget, weights: str, source: str, request: AttributionRequest, loaded: LoadedInput
) -> Iterator[Explanation]:
    """Yield every map of one target that is bound to its image."""
    with _input_context(loaded):
        result = attributions(bound.model, loaded.inputs[None], replace(request, targets=[bound.target]))
    region, spec = region_on_image(bound.region, loaded.geometry), spec_on_image(bound.spec, loaded.geometry)
    for explanation in _each_map(bound.model, weights, source, loaded, request, result):
        label = spec_on_image(bound.label, loaded.geometry) or explanation.target
        yield replace(explanation, target=label, region=region, spec=spec, model=model.name)


@plain_arithmetic()
def explained_both_ways(
    model: Model, image: ImageInput, like: ImageInput, request: AttributionRequest
) -> ExplanationSet:
    """Return the explanations of the similarity of two images: of the first to the second, and of the second to it.

    Args:
        model: The model.
        image: The first image.
        like: The second image.
        request: Methods and layers; its target is replaced by the similarity.

    Raises:
        CamlucidaError: As in `explain`; the embedding of the network is unknown.
    """
    names = [source_name(image), source_name(like)]
    if names[0] == names[1]:
        names = [f"{names[0]} (1)", f"{names[1]} (2)"]
    with error_context(model, image):
        weights, both = model.weights_hash, both_ways(model, image, like)
    items: list[Explanation] = []
    for own, source, name, other in zip(both, (image, like), names, reversed(names), strict=True):
        with error_context(model, source):
            bound = BoundTarget(own, 0, f"similarity to {other}")
            loaded = load_input(model.preprocessing, source)
            maps = _each_bound(model, bound, weights, source_name(source), request, loaded)
            items += [replace(explanation, input=name) for explanation in maps]
    return ExplanationSet(tuple(items))


def _explain_inputs(
    model: Model, given: Mapping[str, Any], request: AttributionRequest
) -> Explanation | ExplanationSet:
    """Explain each image of a network with several inputs, while the other inputs are held."""
    inputs = load_inputs(model, given)
    weights = model.weights_hash
    with _input_context(inputs.first):
        results = attributions_of_images(inputs.model, inputs.arguments, request)
    items = [
        explanation
        for name, result in results.items()
        for explanation in _each_map(
            inputs.model, weights, source_name(inputs.sources[name]), inputs.images[name], request, result, name
        )
    ]
    return ExplanationSet(tuple(items)) if request.several or len(items) > 1 else items[0]


def _each_map(
    model: Model,
    weights: str,
    source: str,
    loaded: Loaded,
    request: AttributionRequest,
    result: Attribution,
    input_name: str = "",
) -> Iterator[Explanation]:
    activation = result.activation
    predictions = top_predictions(check_finite(result.output[0]), model.labels, activation)
    for m, (method, options) in enumerate(request.methods):
        for t, target in enumerate(result.targets):
            for l, layer in enumerate(result.layers[m]):
                yield _explanation(
                    loaded,
                    raw=result.maps[m][l][t][0].float().cpu().clone(),  # so that pickling stores this map only
                    relu=method.relu,
                    target=target.label(model.labels),
                    index=target_class(target),
                    score=float(result.scores[t, 0]),
                    score_kind=_score_kind(target, request.score, activation),
                    predictions=predictions,
                    method=method.name,
                    options=dict(options),
                    run_options=request.run_options,
                    colour=_colour(model.preprocessings.get(input_name, model.preprocessing), result, m, l, t),
                    paper=method.paper,
                    layer=layer.label if layer else INPUT,
                    model=model.name,
                    source=source,
                    input=input_name,
                    weights_hash=weights,
                    versions=dict(versions()),
                    display=method.display,
                    activation=activation,
                    notes={name: float(value[0]) for name, value in result.notes[m][l][t].items()},
                )


def _colour(preprocessing: Preprocessing, result: Attribution, m: int, l: int, t: int) -> Tensor | None:
    """Return a map in colour, whose channels are those of an RGB image also where the network takes blue first."""
    colour = result.colours[m][l][t] if result.colours else None
    if colour is None:
        return None
    own = colour[0].float().cpu().clone()
    return preprocessing.reorder_channels(own) if own.ndim == 3 else own


@contextmanager
def _input_context(loaded: Loaded) -> Iterator[None]:
    """Raise a `ModelError` with the shape of the input where the network does not accept a volume or a video."""
    try:
        yield
    except CamlucidaError:
        raise
    except Exception as error:
        if isinstance(loaded, LoadedInput) or not raised_by_network(error):
            raise
        shape = "×".join(map(str, loaded.inputs.shape))
        raise ModelError(
            f"the network cannot run on an input of {shape}; it raised {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}. Give the size that it requires: wrap(network, "
            "volume=VolumePreprocessing(size=(depth, height, width)))."
        ) from error


def _explanation(loaded: Loaded, **values: Any) -> Explanation:
    """Return the explanation of an image, a volume or a video."""
    if isinstance(loaded, LoadedVolume):
        return _volume_explanation(loaded, values)
    if isinstance(loaded, LoadedVideo):
        explanation = VideoExplanation(
            **values, image=loaded.video.frames[0], geometry=loaded.geometry, video=loaded.video
        )
        return replace(explanation, image=loaded.video.frames[explanation.peak_frame])
    return Explanation(**values, image=loaded.image, geometry=loaded.geometry, array=loaded.array)


def _volume_explanation(loaded: LoadedVolume, values: dict[str, Any]) -> VolumeExplanation:
    preprocessing, has_position = loaded.preprocessing, loaded.volume.affine is not None
    orientation = preprocessing.orientation if preprocessing is not None and has_position else ""
    middle = loaded.voxels[0, loaded.voxels.shape[1] // 2]
    image = grey_image(middle, loaded.windows[0])
    return VolumeExplanation(
        **values,
        image=image,
        geometry=Geometry(image.size, image.size, (1.0, 1.0), (0.0, 0.0)),
        volume=loaded.volume,
        voxels=loaded.voxels,
        orientation=orientation,
        volume_geometry=loaded.geometry,
        windows=loaded.windows,
        preprocessing={} if preprocessing is None else preprocessing.record(),
    )


def _score_kind(target: Target, score: str, activation: OutputActivation) -> str:
    """Return what the score of a target is: "score" for targets that are no class."""
    if not isinstance(target, ClassScore):
        return "score"
    if score == "logit" and activation.is_probability:
        return "probability"
    return "value" if score == "logit" and not activation.has_probabilities else score


@plain_arithmetic()
def predict_scores(model: Model, image: ImageInput | Mapping[str, Any]) -> tuple[Tensor, OutputActivation]:
    """Return the class scores `(k,)` of one image and their activation, without a map. Raises as `explain` does."""
    with error_context(model, image):
        if isinstance(image, Mapping):
            inputs = load_inputs(model, image)
            with _input_context(inputs.first):
                scores, activation = predict(inputs.model.of_image(inputs.model.image[0]), inputs.arguments)
        else:
            loaded = load_any(model, image)
            with _input_context(loaded):
                scores, activation = predict(model, loaded.inputs[None])
        return check_finite(scores[0].cpu()), activation


def check_finite(scores: Tensor) -> Tensor:
    """Return scores `(k,)` unmodified.

    Raises:
        ModelError: A score is NaN or infinite; -inf is valid and rules a class out.
    """
    n_invalid = int((scores.isnan() | scores.isposinf()).sum())
    if n_invalid:
        raise ModelError(
            f"{n_invalid} of the {len(scores)} scores of the network are NaN or infinite. "
            "Look for a division by 0, a square root or logarithm of 0, or NaN in the weights."
        )
    return scores


def top_predictions(
    scores: Tensor, names: Sequence[str], activation: OutputActivation, n: int = N_PREDICTIONS
) -> tuple[Prediction, ...]:
    """Return the `n` most likely classes, most likely first; none of an embedding, which has no classes.

    Args:
        scores: Class scores of one image `(k,)`.
        names: Names of the classes; may be empty.
        activation: How the scores become probabilities.
        n: Number of predictions, at most k are returned.
    """
    if activation.task is None:
        return ()
    probabilities = activation.probabilities(scores)
    indices = torch.topk(scores, min(n, len(scores))).indices.tolist()
    return tuple(
        Prediction(
            i,
            class_label(i, names),
            float(probabilities[i]) if activation.has_probabilities else None,
            float(scores[i]),
        )
        for i in indices
    )


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that take part in an explanation."""
    libraries = {name: importlib.metadata.version(name) for name in ("torch", "torchvision", "pillow", "numpy")}
    return {"camlucida": camlucida.__version__, **libraries}


def target_class(target: Target) -> int | None:
    """Return the class that a target scores; None if it is not a single class, as for "cat rather than dog"."""
    if not isinstance(target, ClassScore):
        return None
    return target.index if isinstance(target.index, int) else int(target.index[0])


def as_model(model: Model | nn.Module | str) -> Model:
    """Return a model unmodified; load a spec, or wrap a bare network."""
    if isinstance(model, str):
        return load(model)
    if isinstance(model, Model):
        return model
    is_wrapped = is_keras_model(model) or adapter_of(model) is not None or is_detector(model)
    return wrap(model) if is_wrapped else model_of(model)
