"""POST /api/explain, the explain endpoint: raw maps of an image, which the tab Explain displays.

Its sub-paths return one map as a file: the panel, a figure as PDF, SVG or HTML, the arrays, the record.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida._files import png
from camlucida.app.app_state import Page
from camlucida.app.cache_keys import CacheKey, request_key
from camlucida.app.image_targets import bound_on, first_spec
from camlucida.app.images import StoredImage
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job, QueueName, Task
from camlucida.app.method_choice import methods_for
from camlucida.app.request_limits import MAX_MAPS, check
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.schemas import GeometryOut, ImageId, MapOut, Name, Option, PredictionOut, Question, Schema, Score
from camlucida.attribution.explain_request import explained as explanation_of
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.attribution.method_choice import is_quick
from camlucida.attribution.request import AttributionRequest
from camlucida.errors import ImageError, MethodError
from camlucida.methods import find
from camlucida.render.overlay import Blend
from camlucida.targets import class_label

router = APIRouter(tags=["explain"])


class ExplainRequest(Schema):
    """What to explain.

    Attributes:
        image: The id of a sample or of an uploaded image; or else
        image_base64: The bytes of an image file in base64.
        model: A model of the app; the first one if not given.
        question: The question about the image, for models that answer questions.
        methods: Methods by name, optionally with combinators; empty for the default method of the model.
        layers: Layer names, indices, globs, "all"; empty for the default layer (called target_layer in
            pytorch-grad-cam).
        targets: Class names, indices, "top3", "A rather than B", "not A"; empty for the predicted class. For detectors,
            segmentation networks and captions also boxes, regions and words: "box 3", "dog at 120,80" (in pixels of the
            image), "text:a dog", "word 2"; empty for the first.
        score: The score of a class.
        options: Options of the method.
        compare: Whether to compute the rank correlation of all maps.
    """

    image: ImageId | None = None
    image_base64: Annotated[str, Field(max_length=34_000_000)] | None = None
    model: Name | None = None
    question: Question | None = None
    methods: Annotated[list[Name], Field(max_length=16)] = []
    layers: Annotated[list[Name | int], Field(max_length=64)] = []
    targets: Annotated[list[Name | int], Field(max_length=16)] = []
    score: Score = "logit"
    options: Annotated[dict[Name, Option], Field(max_length=16)] = {}
    compare: bool = False


_Params = TypeVar("_Params", bound=ExplainRequest)


class PanelRequest(ExplainRequest):
    """One map with its drawing options, as for `camlucida.render.panel`."""

    opacity: Annotated[float, Field(ge=0, le=1)] = 0.5
    colormap: Name | None = None
    blend: Blend = "saliency"
    contour: Annotated[float, Field(ge=0, le=1)] | None = None


class ExplainResponse(Schema):
    """All maps of one image from one run, ordered by method, then target, then layer.

    Attributes:
        label: The class of the image in the data set; null if unknown.
        label_index: The model's output for that class; null if it has none.
        correlation: Spearman's rank correlation of every pair of maps, if requested; null entries for constant maps.
        seconds: The duration of the computation.
    """

    image: str
    name: str
    label: str | None
    label_index: int | None
    geometry: GeometryOut
    predictions: list[PredictionOut]
    maps: list[MapOut]
    correlation: list[list[float | None]] | None
    seconds: float


@router.post("/explain", responses={200: {"model": ExplainResponse}})
async def explain(request: Request, page: AppDep, params: ExplainRequest) -> Response:
    """Explain a model's prediction on an image. With `Accept: text/event-stream` the response includes progress."""
    params = _with_methods(page, params)
    return await answer(request, lambda job: _cached_or_computed(page, params, job), queue_of(params.methods))


@router.post("/explain/panel.png", responses={200: {"content": {"image/png": {}}}}, response_class=Response)
async def panel(request: Request, page: AppDep, params: PanelRequest) -> Response:
    """Return one map as the panel that `Explanation.save` writes."""
    params = _with_methods(page, params)

    return await _file(
        request,
        lambda job: png(_single(page, params, job).panel(**_style(params))),
        params,
        "image/png",
        "explanation.png",
    )


@router.post("/explain/figure.pdf", responses={200: {"content": {"application/pdf": {}}}}, response_class=Response)
async def figure_pdf(request: Request, page: AppDep, params: PanelRequest) -> Response:
    """Return the panel of one map as a PDF file: text as text, images with 300 dpi."""
    return await _figure(request, page, params, lambda e, style: e.pdf(**style), "application/pdf", "pdf")


@router.post("/explain/figure.svg", responses={200: {"content": {"image/svg+xml": {}}}}, response_class=Response)
async def figure_svg(request: Request, page: AppDep, params: PanelRequest) -> Response:
    """Return the panel of one map as an SVG file: text as text, images as embedded PNG with 300 dpi."""
    return await _figure(request, page, params, lambda e, style: e.svg(**style), "image/svg+xml", "svg")


@router.post(
    "/explain/figure.html", responses={200: {"content": {"application/octet-stream": {}}}}, response_class=Response
)
async def figure_html(request: Request, page: AppDep, params: PanelRequest) -> Response:
    """Return one map as a self-contained HTML file with controls, to be saved: its script is not run here."""
    return await _figure(request, page, params, lambda e, style: e.html(**style), "application/octet-stream", "html")


@router.post(
    "/explain/map.npz", responses={200: {"content": {"application/octet-stream": {}}}}, response_class=Response
)
async def arrays(request: Request, page: AppDep, params: ExplainRequest) -> Response:
    """Return one map as the arrays that `Explanation.save` writes: raw, map, heatmap."""
    params = _with_methods(page, params)
    return await _file(
        request, lambda job: _single(page, params, job).npz(), params, "application/octet-stream", "explanation.npz"
    )


@router.post("/explain/record.json")
async def record(request: Request, page: AppDep, params: ExplainRequest) -> Response:
    """Return the record of one map, without pixels, as `Explanation.save` writes it next to the arrays."""
    params = _with_methods(page, params)
    return await _file(
        request, lambda job: _single(page, params, job).json(), params, "application/json", "explanation.json"
    )


def _with_methods(page: Page, params: _Params) -> _Params:
    """Return the request with the methods that the names stand for with this model."""
    if params.model is not None and params.model not in page.served:
        return params  # the job reports it
    return params.model_copy(update={"methods": methods_for(page.model(params.model), params.methods)})


async def _figure(
    request: Request,
    page: Page,
    params: PanelRequest,
    write: Callable[[Explanation, dict[str, Any]], bytes],
    media: str,
    ending: str,
) -> Response:
    params = _with_methods(page, params)
    return await _file(
        request, lambda job: write(_single(page, params, job), _style(params)), params, media, f"explanation.{ending}"
    )


def _style(params: PanelRequest) -> dict[str, Any]:
    """Return the drawing options of a request as arguments of `Explanation.panel`."""
    return {"opacity": params.opacity, "colormap": params.colormap, "blend": params.blend, "contour": params.contour}


async def _file(request: Request, work: Task, params: ExplainRequest, media: str, name: str) -> Response:
    response = await answer(request, work, queue_of(params.methods), media)
    response.headers["content-disposition"] = f'attachment; filename="{name}"'
    return response


def _single(page: Page, params: ExplainRequest, job: Job) -> Explanation:
    explanations = explanations_of(page, params, _image(page, params), job)
    if len(explanations) > 1:
        raise MethodError(
            f"a file holds one map, but {len(explanations)} were requested: select one method, one layer and one class."
        )
    explanation: Explanation = explanations[0]
    return explanation


def queue_of(methods: Sequence[str]) -> QueueName:
    """Return the long queue for methods that run the network many times; unknown methods fail in the quick one."""
    try:
        return "quick" if all(is_quick(find(name)) for name in methods) else "long"
    except MethodError:
        return "quick"


def _cached_or_computed(page: Page, params: ExplainRequest, job: Job) -> ExplainResponse | bytes:
    """Return the response from the cache, or compute it."""
    image = _image(page, params)
    key = request_key("answer", page.model(params.model, params.question), image, params)
    if (cached := page.caches.responses.get(key)) is not None:
        return cached
    start = time.perf_counter()
    explanations = explanations_of(page, params, image, job)
    seconds = time.perf_counter() - start
    body = _response(page, params, image, explanations, seconds).model_dump_json().encode()
    page.caches.responses.put(key, body)
    return body


def _maps_key(page: Page, params: ExplainRequest, image: StoredImage) -> CacheKey:
    """Return the cache key of the maps, which depend neither on the comparison nor on the drawing options."""
    drawing = set(PanelRequest.model_fields) - set(ExplainRequest.model_fields)
    return request_key("maps", page.model(params.model, params.question), image, params, without={"compare", *drawing})


def explanations_of(page: Page, params: ExplainRequest, image: StoredImage, job: Job) -> ExplanationSet:
    """Return the result of `camlucida.explain` as a set, from the cache if possible."""
    served = page.model(params.model, params.question)
    check(served, params.methods, options=params.options, layers=params.layers, targets=params.targets)
    key = _maps_key(page, params, image)
    if (cached := page.caches.explanations.get(key)) is not None:
        return cached
    targets: list[str | int] = list(params.targets)
    if served.model.image_targets is not None:
        first = first_spec(served.model, image) if not targets else None
        targets = targets if first is None else [first]
        bound, _ = bound_on(served.model, image.image, targets or [None])  # one target may mean several boxes
        check(served, params.methods, options=params.options, layers=params.layers, targets=range(len(bound)))
    request = AttributionRequest.of(
        target=_one_or_all(targets),
        layer=_one_or_all(params.layers),
        method=_one_or_all(params.methods),
        score=params.score,
        options=params.options,
        progress=job.progress,
    )
    explanations = explanation_of(served.model, image.image, request)
    result = ExplanationSet((explanations,)) if isinstance(explanations, Explanation) else explanations
    if len(result) > MAX_MAPS:
        raise MethodError(
            f"{len(result):,} maps were requested; the app computes at most {MAX_MAPS} at once. Select fewer methods, "
            "layers or classes."
        )
    page.caches.explanations.put(key, result)
    return result


def _image(page: Page, params: ExplainRequest) -> StoredImage:
    if (params.image is None) == (params.image_base64 is None):
        raise ImageError(
            "pass either image (the id of an image of the app) or image_base64 (an image file), not both or neither."
        )
    if params.image is not None:
        return image_of(page, params.image)
    assert params.image_base64 is not None
    try:
        content = base64.b64decode(params.image_base64, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("image_base64 is not valid base64.") from None
    return page.images.add_upload(content)


def _one_or_all(values: list[str | int] | list[str]) -> list[str | int] | list[str] | str | int | None:
    return (values[0] if len(values) == 1 else values) if values else None


def _response(
    page: Page, params: ExplainRequest, image: StoredImage, explanations: ExplanationSet, seconds: float
) -> ExplainResponse:
    correlation = None
    if params.compare and len(explanations) > 1:
        correlation = [[None if v != v else float(v) for v in row] for row in explanations.rank_correlation()]
    label = image.label if params.question is None else None  # it answers no question
    return ExplainResponse(
        image=image.id,
        name=image.name,
        label=None if label is None else class_label(label, page.data.classes),
        label_index=None if label is None else page.model(params.model, params.question).outputs[label],
        geometry=GeometryOut.of(explanations[0].geometry),
        predictions=[PredictionOut.of(p) for p in explanations[0].predictions],
        maps=[MapOut.of(e) for e in explanations],
        correlation=correlation,
        seconds=seconds,
    )
