"""Types and functions that the tests of this tab share."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import Any

import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from camlucida.app.app_state import Page
from camlucida.app.cache_keys import CacheKey, request_key
from camlucida.app.image_targets import one_bound_on
from camlucida.app.images import StoredImage
from camlucida.app.jobs import Job
from camlucida.app.method_choice import method_for
from camlucida.app.request_limits import check_method
from camlucida.app.routes.dependencies import image_of
from camlucida.app.schemas import EncodedMap, GeometryOut, ImageId, Name, Question, Schema, packed
from camlucida.attribution.error_context import error_context
from camlucida.evaluation.metric_inputs import MethodExplainer, MetricInputs
from camlucida.models.model import Model
from camlucida.reliability.inputs import metric_inputs_of
from camlucida.reliability.result import to_pixels
from camlucida.render.resize import to_image
from camlucida.targets import class_label
from camlucida.tasks import OutputActivation
from camlucida.types import Geometry

MAX_PNG_PX = 96
"""Images with a longer side of at most this many pixels are encoded as PNG; JPEG would degrade them visibly."""
N_CLASSES = 5


class MapRequest(Schema):
    """One map of one class.

    Attributes:
        image: The id of an image.
        model: A model of the app; the first one if not given.
        question: The question about the image, for models that answer questions.
        method: A method by name, optionally with combinators; the default method of the model if not given.
        layer: One layer; the default layer if not given.
        target: A class; the predicted class if not given. For detectors, segmentation networks and captions also one
            box, region or word, such as "box 3"; the first if not given.
    """

    image: ImageId
    model: Name | None = None
    question: Question | None = None
    method: Name | None = None
    layer: Name | int | None = None
    target: Name | int | None = None


class DisplayedMap(Schema):
    """A raw map with its display options; `geometry` is its position in the accompanying image."""

    map: EncodedMap
    geometry: GeometryOut
    relu: bool
    signed: bool
    percentile: float


class ClassChange(Schema):
    """The probability of a class before and after a change of the image."""

    index: int
    name: str
    before: float
    after: float


def key(page: Page, params: MapRequest, image: StoredImage, purpose: str) -> CacheKey:
    """Return the cache key of a response."""
    return request_key(purpose, page.model(params.model, params.question), image, params)


def metric_inputs_for(page: Page, params: MapRequest, image: StoredImage, job: Job) -> MetricInputs:
    """Return the metric inputs of the requested map.

    They are cached, since occlusion and perturbation request the same map repeatedly.
    """
    model = page.model(params.model, params.question).model
    map_request = MapRequest(**{name: getattr(params, name) for name in MapRequest.model_fields})
    cache_key = key(page, map_request, image, "metric_inputs")
    metric_inputs = page.caches.metric_inputs.get(cache_key)
    if metric_inputs is None:
        metric_inputs = map_of(page, params, image.image, image.name, job)
        page.caches.metric_inputs.put(cache_key, _with_progress(metric_inputs, None))
    with error_context(model, image.image):
        return _with_progress(metric_inputs, job)


def map_of(
    page: Page, params: MapRequest, image: Image.Image, name: str, job: Job, model: Model | None = None
) -> MetricInputs:
    """Return the metric inputs of the same request for another image.

    Args:
        page: The state of the app.
        params: The request.
        image: The image.
        name: The display name of the image.
        job: The job, to which progress is reported.
        model: The model of earlier metric inputs, whose box, region or word is to be explained again; None to find the
            target in the requested image.
    """
    target: Any = params.target
    if model is None:
        model = page.model(params.model, params.question).model
        if model.image_targets is not None:
            # Points are in pixels of the requested image, of which `image` may be a reduced copy.
            bound = one_bound_on(model, image_of(page, params.image).image, target)
            model, target = bound.model, bound.target
    method_name = method_for(page.model(params.model, params.question), params.method)
    check_method(method_name)
    with error_context(model, image):
        return metric_inputs_of(
            model,
            image,
            method=method_name,
            layer=params.layer,
            target=target,
            progress=job.progress,
            name=name,
        )


def _with_progress(metric_inputs: MetricInputs, job: Job | None) -> MetricInputs:
    """Return a copy that reports progress to `job`, or to none for the cache."""
    assert isinstance(metric_inputs.explainer, MethodExplainer)
    progress = job.progress if job else None
    return dataclasses.replace(metric_inputs, explainer=dataclasses.replace(metric_inputs.explainer, progress=progress))


def displayed(metric_inputs: MetricInputs, raw: Tensor, geometry: Geometry) -> DisplayedMap:
    """Return a map with the display options of the method of `metric_inputs`."""
    assert isinstance(metric_inputs.explainer, MethodExplainer)
    display = metric_inputs.explainer.request[0].display
    return DisplayedMap(
        map=packed(raw),
        geometry=GeometryOut.of(geometry),
        relu=metric_inputs.explainer.relu,
        signed=display.signed,
        percentile=display.percentile,
    )


def on_input(metric_inputs: MetricInputs) -> Geometry:
    """Return the geometry in which the network input is the image itself."""
    height, width = metric_inputs.model_input.inputs.shape[-2:]
    return Geometry((width, height), (width, height), (1.0, 1.0), (0.0, 0.0))


def class_changes(
    before: Tensor, after: Tensor, target: int, labels: tuple[str, ...], activation: OutputActivation
) -> list[ClassChange]:
    """Return the probabilities of the target and of the most probable classes, the target first.

    Args:
        before: Logits before the change, `(k,)`.
        after: Logits after the change, `(k,)`.
        target: The class index.
        labels: The class names.
        activation: How logits become probabilities.
    """
    first, then = (activation.probabilities(logits.detach().double()).cpu() for logits in (before, after))
    n = min(N_CLASSES, len(first))
    shown = {target, *first.topk(n).indices.tolist(), *then.topk(n).indices.tolist()}
    order = sorted(shown, key=lambda k: (k != target, -max(float(first[k]), float(then[k])), k))
    return [
        ClassChange(index=k, name=class_label(k, labels), before=float(first[k]), after=float(then[k])) for k in order
    ]


def network_input_uri(metric_inputs: MetricInputs, inputs: Tensor) -> str:
    """Return a network input `(c, H, W)` as a data URI."""
    preprocessing = metric_inputs.model_input.model.preprocessing
    return data_uri(to_image(to_pixels(inputs, preprocessing.mean, preprocessing.std)))


def data_uri(image: Image.Image) -> str:
    """Return an image as a data URI."""
    sink = io.BytesIO()
    kind = "png" if max(image.size) <= MAX_PNG_PX else "jpeg"
    image.save(sink, kind, **({"compress_level": 3} if kind == "png" else {"quality": 90}))
    return f"data:image/{kind};base64,{base64.b64encode(sink.getvalue()).decode()}"


def shrunk(maps: Tensor, longest: int) -> Tensor:
    """Reduce maps `(n, H, W)` by area averaging so that their longer side is at most `longest`."""
    height, width = maps.shape[-2:]
    factor = min(1.0, longest / max(height, width))
    if factor == 1:
        return maps
    size = max(1, round(height * factor)), max(1, round(width * factor))
    return F.interpolate(maps[:, None].float(), size=size, mode="area")[:, 0]
