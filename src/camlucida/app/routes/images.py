"""Samples of the data set, uploads, and the images themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.app_state import Page
from camlucida.app.images import encoded, media_type
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.model_entry import SamplePrediction, predictions
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.schemas import ImageId, Name, Schema
from camlucida.data.datasets import label_of
from camlucida.errors import CamlucidaError, DataError, nearest
from camlucida.targets import class_label

router = APIRouter(tags=["images"])

A_FILE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""Request body for the OpenAPI description: it is read as a stream and not declared as a parameter."""
MAX_EVALUATED = 600
"""Maximum number of samples that one search evaluates."""

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class ImageInfo(Schema):
    """An image that can be explained.

    Attributes:
        label: Its class in the data set.
        error: Why it cannot be displayed.
        predicted: The predicted class, if requested.
        confidence: The probability of the predicted class.
        correct: Whether the prediction is the label.
    """

    id: str
    name: str
    width: int
    height: int
    label: str | None = None
    error: str | None = None
    predicted: str | None = None
    confidence: float | None = None
    correct: bool | None = None


class Samples(Schema):
    """Random samples, selected by `seed`.

    Attributes:
        n_evaluated: The number of samples that the model evaluated; 0 if the query does not depend on predictions.
        n_failed: How many of those could not be read or evaluated.
        complete: Whether no other sample could match.
    """

    seed: int
    items: list[ImageInfo]
    n_evaluated: int
    n_failed: int
    complete: bool


class SampleQuery(Schema):
    """A query for samples.

    Attributes:
        seed: The seed of the random order.
        n: The number of samples.
        label: The name of their class in the data set.
        prediction: "correct" or "wrong"; both if not given.
        low: The minimum confidence of the prediction, in [0, 1].
        high: The maximum confidence of the prediction, in [0, 1].
        model: The model; the first one if not given.
    """

    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    n: Annotated[int, Field(ge=1, le=100)] = 20
    label: Name | None = None
    prediction: Literal["correct", "wrong"] | None = None
    low: Fraction = 0.0
    high: Fraction = 1.0
    model: Name | None = None

    @property
    def asks_model(self) -> bool:
        """Whether the query depends on the model's predictions."""
        return self.prediction is not None or self.low > 0 or self.high < 1

    def matches(self, prediction: SamplePrediction) -> bool:
        """Return whether a sample with this prediction matches."""
        confidence = prediction.confidence  # without one, no range excludes the image
        if prediction.error or not (confidence is None or self.low <= confidence <= self.high):
            return False
        return self.prediction is None or prediction.correct is (self.prediction == "correct")


@router.get("/samples", responses={200: {"model": Samples}})
async def samples(request: Request, page: AppDep, query: Annotated[SampleQuery, Query()]) -> Response:
    """Return images of the data set in random order, which is determined by the seed.

    A query that depends on predictions evaluates at most 600 images and returns how many. As a stream it also sends
    every matching image as a `found` event.
    """
    if query.asks_model:
        return await answer(request, lambda job: _search(page, query, job), "long")
    return await answer(request, lambda job: _random_samples(page, query))


def _random_samples(page: Page, query: SampleQuery) -> Samples:
    order = _order(page, query)
    items = [info(page, index) for _, index in zip(range(query.n), order, strict=False)]
    return Samples(seed=query.seed, items=items, n_evaluated=0, n_failed=0, complete=next(order, None) is None)


def _search(page: Page, query: SampleQuery, job: Job) -> Samples:
    served = page.model(query.model)
    order = _order(page, query)
    chosen = [index for _, index in zip(range(MAX_EVALUATED), order, strict=False)]
    items: list[ImageInfo] = []
    n_evaluated = n_failed = 0
    for n_evaluated, (index, prediction) in enumerate(predictions(served, chosen), 1):
        n_failed += bool(prediction.error)
        if query.matches(prediction):
            items.append(info(page, index, prediction))
            job.send("found", items[-1])
        job.progress(n_evaluated, len(chosen))
        if len(items) == query.n:
            break
    complete = n_evaluated == len(chosen) and next(order, None) is None
    return Samples(seed=query.seed, items=items, n_evaluated=n_evaluated, n_failed=n_failed, complete=complete)


def _order(page: Page, query: SampleQuery) -> Iterator[int]:
    """Return all samples of the requested class in the order of the seed."""
    order = np.random.default_rng(query.seed).permutation(len(page.data)).tolist()
    if query.label is None:
        return iter(order)
    classes = page.data.classes
    if query.label not in classes:
        raise DataError(f"{page.data.name} has no class {query.label[:80]!r}.{nearest(query.label, classes)}")
    label = classes.index(query.label)
    return (index for index in order if label_of(page.data, index) == label)


@router.post("/images", responses={200: {"model": ImageInfo}}, openapi_extra=A_FILE)
async def give(request: Request, page: AppDep, name: Annotated[str, Query(max_length=300)] = "your image") -> Response:
    """Upload an image: the request body is the file. It is kept in memory only.

    `name` is the display name.
    """
    content = await request.body()

    def work(job: Job) -> ImageInfo:
        image = page.images.add_upload(content, PurePath(name).name[-80:] or "your image")
        return ImageInfo(id=image.id, name=image.name, width=image.image.width, height=image.image.height)

    return await answer(request, work)


@router.get("/images/{id}", responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}}, response_class=Response)
async def show(
    page: AppDep,
    id: Annotated[ImageId, Path()],
    longest: Annotated[int, Query(ge=16, le=2048)] = 1024,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Return the image, upright and re-encoded, with its longer side at most `longest` pixels."""
    # An image that is in memory needs no worker thread, which would take longer than the rest of the response.
    image = page.images.known(id)
    if image is None:
        image = await run_in_threadpool(image_of, page, id)
    # The same id may be another image of another data set on the same port, so browsers have to revalidate.
    headers = {"cache-control": "private, no-cache", "etag": f'"{image.digest}-{longest}"'}
    if headers["etag"] in if_none_match:
        return Response(status_code=304, headers=headers)
    key = ("image", image.digest, longest)
    content = page.caches.displayed.get(key)
    if content is None:
        content = await run_in_threadpool(encoded, image.image, longest)
        page.caches.displayed.put(key, content)
    return Response(content, media_type=media_type(content), headers=headers)


def info(page: Page, index: int, prediction: SamplePrediction | None = None) -> ImageInfo:
    """Return the description of a sample, with its prediction if given, or with the error if it cannot be read."""
    try:
        image = page.images.sample(index)
    except CamlucidaError as error:
        return ImageInfo(id=f"s{index}", name=page.data[index].name, width=0, height=0, error=str(error))
    return ImageInfo(
        id=image.id,
        name=image.name,
        width=image.image.width,
        height=image.image.height,
        label=None if image.label is None else class_label(image.label, page.data.classes),
        predicted=prediction.name if prediction else None,
        confidence=prediction.confidence if prediction else None,
        correct=prediction.correct if prediction else None,
    )
