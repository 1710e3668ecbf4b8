"""POST /api/explain, the explain endpoint: raw maps of an image. Usable on its own; the tab Look draws its results.

Its sub-paths return one map as a file: the panel, the arrays, the record.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida._files import png
from camlucida.app.app_state import Page
from camlucida.app.cache_keys import CacheKey, request_key
from camlucida.app.images import StoredImage
from camlucida.app.jobs import Job, LaneName, Task, answer
from camlucida.app.request_limits import check
from camlucida.app.routes.bootstrap import MANY_RUNS, SINGLE_GRADIENTS
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.schemas import ImageId, MapOut, Name, Option, Place, PredictionOut, Schema, Score
from camlucida.attribution.explain_request import explained as explanation_of
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.attribution.request import AttributionRequest
from camlucida.errors import ImageError, MethodError
from camlucida.methods import Combined, Method, find
from camlucida.render.overlay import Blend
from camlucida.targets import class_label

router = APIRouter(tags=["explain"])

MAPS = 144
"""Maximum number of maps in one request."""


class Question(Schema):
    """What to explain.

    Attributes:
        picture: The id of a sample or of an uploaded image; or else
        image: The bytes of an image file in base64.
        model: A model of the app; the first one if not given.
        methods: Methods by name, optionally with combinators.
        layers: Layer names, indices, globs, "all"; empty for the default layer (called target_layer in
            pytorch-grad-cam).
        targets: Class names, indices, "top3", "A rather than B", "not A"; empty for the predicted class.
        score: The score of a class.
        options: Options of the method.
        compare: Whether to compute the rank correlation of all maps.
    """

    picture: ImageId | None = None
    image: Annotated[str, Field(max_length=34_000_000)] | None = None
    model: Name | None = None
    methods: Annotated[list[Name], Field(min_length=1, max_length=16)] = ["grad_cam"]
    layers: Annotated[list[Name | int], Field(max_length=64)] = []
    targets: Annotated[list[Name | int], Field(max_length=16)] = []
    score: Score = "logit"
    options: Annotated[dict[Name, Option], Field(max_length=16)] = {}
    compare: bool = False


class Drawn(Question):
    """One map with its drawing options, as for `camlucida.render.panel`."""

    opacity: Annotated[float, Field(ge=0, le=1)] = 0.5
    colormap: Name | None = None
    blend: Blend = "heat"
    contour: Annotated[float, Field(ge=0, le=1)] | None = None


class Answer(Schema):
    """All maps of one image from one run, ordered by method, then target, then layer.

    Attributes:
        label: The class of the image in the data set; null if unknown.
        truth: The model's output for that class; null if it has none.
        correlation: Spearman's rank correlation of every pair of maps, if requested; null entries for constant maps.
        seconds: The duration of the computation.
    """

    picture: str
    name: str
    label: str | None
    truth: int | None
    place: Place
    predictions: list[PredictionOut]
    maps: list[MapOut]
    correlation: list[list[float | None]] | None
    seconds: float


@router.post("/explain", responses={200: {"model": Answer}})
async def explained(request: Request, page: AppDep, asked: Question) -> Response:
    """Explain a model's prediction on an image. With `Accept: text/event-stream` the response includes progress."""
    return await answer(request, lambda job: answered(page, asked, job), lane_of(asked.methods))


@router.post("/explain/panel.png", responses={200: {"content": {"image/png": {}}}}, response_class=Response)
async def panel(request: Request, page: AppDep, asked: Drawn) -> Response:
    """Return one map as the panel that `Explanation.save` writes."""

    def work(job: Job) -> bytes:
        explanation = _single(page, asked, job)
        return png(
            explanation.panel(opacity=asked.opacity, colormap=asked.colormap, blend=asked.blend, contour=asked.contour)
        )

    return await _file(request, work, asked, "image/png", "explanation.png")


@router.post(
    "/explain/map.npz", responses={200: {"content": {"application/octet-stream": {}}}}, response_class=Response
)
async def arrays(request: Request, page: AppDep, asked: Question) -> Response:
    """Return one map as the arrays that `Explanation.save` writes: raw, map, heatmap."""
    return await _file(
        request, lambda job: _single(page, asked, job).npz(), asked, "application/octet-stream", "explanation.npz"
    )


@router.post("/explain/record.json")
async def record(request: Request, page: AppDep, asked: Question) -> Response:
    """Return the record of one map, without pixels, as `Explanation.save` writes it next to the arrays."""
    return await _file(
        request, lambda job: _single(page, asked, job).json(), asked, "application/json", "explanation.json"
    )


async def _file(request: Request, work: Task, asked: Question, media: str, name: str) -> Response:
    response = await answer(request, work, lane_of(asked.methods), media)
    response.headers["content-disposition"] = f'attachment; filename="{name}"'
    return response


def _single(page: Page, asked: Question, job: Job) -> Explanation:
    explanations_ = explanations_of(page, asked, _image(page, asked), job)
    if len(explanations_) > 1:
        raise MethodError(
            f"a file holds one map, and this asks for {len(explanations_)}: name one method, layer and class."
        )
    explanation: Explanation = explanations_[0]
    return explanation


def lane_of(methods: Sequence[str]) -> LaneName:
    """Return the long queue for methods that run the network many times; unknown methods fail in the quick one."""
    try:
        return "quick" if all(_is_quick(find(name)) for name in methods) else "long"
    except MethodError:
        return "quick"


def _is_quick(method: Method | Combined) -> bool:
    if isinstance(method, Combined):
        return method.combinator.kind != "views" and _is_quick(method.inner)
    return not MANY_RUNS & set(method.needs) or method.name in SINGLE_GRADIENTS


def answered(page: Page, asked: Question, job: Job) -> Answer | bytes:
    """Return the response from the cache, or compute it."""
    image = _image(page, asked)
    key = request_key("answer", page.model(asked.model), image, asked)
    kept = page.memory.answers.get(key)
    if kept is not None:
        return kept
    began = time.perf_counter()
    explanations_ = explanations_of(page, asked, image, job)
    seconds = time.perf_counter() - began
    body = _answer(page, asked, image, explanations_, seconds).model_dump_json().encode()
    page.memory.answers.put(key, body)
    return body


def _maps_key(page: Page, asked: Question, image: StoredImage) -> CacheKey:
    """Return the cache key of the maps, which depend neither on the comparison nor on the drawing options."""
    painted = set(Drawn.model_fields) - set(Question.model_fields)
    return request_key("maps", page.model(asked.model), image, asked, without={"compare", *painted})


def explanations_of(page: Page, asked: Question, image: StoredImage, job: Job) -> ExplanationSet:
    """Return the result of `camlucida.explain` as a set, from the cache if possible."""
    served = page.model(asked.model)
    check(served, asked.methods, options=asked.options, layers=asked.layers, targets=asked.targets)
    key = _maps_key(page, asked, image)
    if (kept := page.memory.explanations.get(key)) is not None:
        return kept
    request = AttributionRequest.of(
        target=_one_or_all(asked.targets),
        layer=_one_or_all(asked.layers),
        method=_one_or_all(asked.methods),
        score=asked.score,
        options=asked.options,
        progress=job.tick,
    )
    explanations_ = explanation_of(served.model, image.image, request)
    several = ExplanationSet((explanations_,)) if isinstance(explanations_, Explanation) else explanations_
    if len(several) > MAPS:
        raise MethodError(f"{len(several)} maps at once are too many for a page; at most {MAPS}.")
    page.memory.explanations.put(key, several)
    return several


def _image(page: Page, asked: Question) -> StoredImage:
    if (asked.picture is None) == (asked.image is None):
        raise ImageError("name a picture, or send an image: one of the two.")
    if asked.picture is not None:
        return image_of(page, asked.picture)
    assert asked.image is not None
    try:
        content = base64.b64decode(asked.image, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("the image is no base64.") from None
    return page.pictures.give(content)


def _one_or_all(values: list[str | int] | list[str]) -> list[str | int] | list[str] | str | int | None:
    return (values[0] if len(values) == 1 else values) if values else None


def _answer(page: Page, asked: Question, image: StoredImage, made: ExplanationSet, seconds: float) -> Answer:
    correlation = None
    if asked.compare and len(made) > 1:
        correlation = [[None if v != v else float(v) for v in row] for row in made.rank_correlation()]
    label = image.label
    return Answer(
        picture=image.id,
        name=image.name,
        label=None if label is None else class_label(label, page.data.classes),
        truth=None if label is None else page.model(asked.model).outputs[label],
        place=Place.of(made[0].geometry),
        predictions=[PredictionOut.of(p) for p in made[0].predictions],
        maps=[MapOut.of(e) for e in made],
        correlation=correlation,
        seconds=seconds,
    )
