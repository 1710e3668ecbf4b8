"""POST /api/explain: a picture in, raw maps out. Useful alone; the tabs Look and Compare draw what it gives."""

from __future__ import annotations

import base64
import binascii
import time
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida.errors import ImageError, MethodError
from camlucida.explaining import explain
from camlucida.explanation import Explanation
from camlucida.explanations import Explanations
from camlucida.web.limits import check
from camlucida.web.page import Page
from camlucida.web.pictures import Picture
from camlucida.web.routes.given import Given, picture_of
from camlucida.web.wire import Explained, Guess, Name, Option, PictureId, Place, Score, Wire
from camlucida.web.work import Job, answer

router = APIRouter(tags=["explain"])

MAPS = 144
"""The most maps that one question may ask for."""


class Question(Wire):
    """What to explain.

    picture   the id of a sample, or of a picture given before; or else
    image     the bytes of a picture's file in base64
    model     one of the page's models; the first if not given
    methods   by name, with combinators round them or not
    layers    names, numbers, globs, "all"; none for the default layer
    targets   class names, indices, "top3", "A rather than B", "not A"; none for the predicted class
    score     what a class is scored by
    options   of the method
    compare   also the rank correlation of all maps
    """

    picture: PictureId | None = None
    image: Annotated[str, Field(max_length=34_000_000)] | None = None
    model: Name | None = None
    methods: Annotated[list[Name], Field(min_length=1, max_length=16)] = ["grad_cam"]
    layers: Annotated[list[Name | int], Field(max_length=64)] = []
    targets: Annotated[list[Name | int], Field(max_length=16)] = []
    score: Score = "logit"
    options: Annotated[dict[Name, Option], Field(max_length=16)] = {}
    compare: bool = False


class Answer(Wire):
    """All maps of one picture, from one run of the network, methods outermost, layers innermost.

    correlation   Spearman's, of every map with every other, where it was asked for; null for a map of one value
    seconds       what the network and the methods took
    """

    picture: str
    name: str
    place: Place
    predictions: list[Guess]
    maps: list[Explained]
    correlation: list[list[float | None]] | None
    seconds: float


@router.post("/explain", responses={200: {"model": Answer}})
async def explained(request: Request, page: Given, asked: Question) -> Response:
    """Explain what a model says about a picture. With `Accept: text/event-stream` also how far it is."""
    return await answer(request, lambda job: answered(page, asked, job))


def answered(page: Page, asked: Question, job: Job) -> Answer | bytes:
    """From what was kept, or from the network."""
    served = page.model(asked.model)
    picture = _picture(page, asked)
    how = asked.model_copy(update={"picture": picture.digest, "image": None, "model": served.name})
    key = (served.model.weights_hash, how.model_dump_json())
    kept = page.cache.get(key)
    if kept is not None:
        return kept
    began = time.perf_counter()
    made = explanations_of(page, asked, picture, job)
    seconds = time.perf_counter() - began
    found = _answer(picture, made, asked.compare, seconds)
    body = found.model_dump_json().encode()
    page.cache.put(key, body)
    return body


def explanations_of(page: Page, asked: Question, picture: Picture, job: Job) -> Explanations:
    """What `camlucida.explain` says; always several, even of one."""
    served = page.model(asked.model)
    check(served, asked.methods, options=asked.options, layers=asked.layers, targets=asked.targets)
    made = explain(
        served.model,
        picture.image,
        target=_one_or_all(asked.targets),
        layer=_one_or_all(asked.layers),
        method=_one_or_all(asked.methods),
        score=asked.score,
        options=asked.options,
        progress=job.tick,
    )
    several = Explanations((made,)) if isinstance(made, Explanation) else made
    if len(several) > MAPS:
        raise MethodError(f"{len(several)} maps at once are too many for a page; at most {MAPS}.")
    return several


def _picture(page: Page, asked: Question) -> Picture:
    if (asked.picture is None) == (asked.image is None):
        raise ImageError("name a picture, or send an image: one of the two.")
    if asked.picture is not None:
        return picture_of(page, asked.picture)
    assert asked.image is not None
    try:
        content = base64.b64decode(asked.image, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("the image is no base64.") from None
    return page.pictures.give(content)


def _one_or_all(values: list[str | int] | list[str]) -> list[str | int] | list[str] | str | int | None:
    return (values[0] if len(values) == 1 else values) if values else None


def _answer(picture: Picture, made: Explanations, compare: bool, seconds: float) -> Answer:
    correlation = None
    if compare and len(made) > 1:
        correlation = [[None if v != v else float(v) for v in row] for row in made.rank_correlation()]
    return Answer(
        picture=picture.id,
        name=picture.name,
        place=Place.of(made[0].geometry),
        predictions=[Guess.of(p) for p in made[0].predictions],
        maps=[Explained.of(e) for e in made],
        correlation=correlation,
        seconds=seconds,
    )
