"""Samples of the data set, what people give, and the pictures themselves."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from camlucida.errors import CamlucidaError
from camlucida.targets import class_label
from camlucida.web.page import Page
from camlucida.web.pictures import encoded
from camlucida.web.routes.given import Given, picture_of
from camlucida.web.wire import PictureId, Wire
from camlucida.web.work import Job, answer

router = APIRouter(tags=["pictures"])

A_FILE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""As the API's description says it: read from the stream, not declared as a parameter."""


class PictureInfo(Wire):
    """A picture that can be asked about. `label` is its class in the data set; `error` why it cannot be shown."""

    id: str
    name: str
    width: int
    height: int
    label: str | None = None
    error: str | None = None


class Samples(Wire):
    """Random samples, drawn by `seed`."""

    seed: int
    items: list[PictureInfo]


@router.get("/samples", responses={200: {"model": Samples}})
async def samples(
    request: Request,
    page: Given,
    seed: Annotated[int, Query(ge=0, le=2**31)] = 0,
    n: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """So many pictures of the data set, drawn at random: the same seed gives the same ones."""

    def work(job: Job) -> Samples:
        chosen = np.random.default_rng(seed).choice(len(page.data), min(n, len(page.data)), replace=False)
        return Samples(seed=seed, items=[info(page, int(index)) for index in chosen])

    return await answer(request, work)


@router.post("/pictures", responses={200: {"model": PictureInfo}}, openapi_extra=A_FILE)
async def give(request: Request, page: Given) -> Response:
    """Give the page a picture: the bytes of its file as the body. It is kept in memory, and nowhere else."""
    content = await request.body()

    def work(job: Job) -> PictureInfo:
        picture = page.pictures.give(content)
        return PictureInfo(id=picture.id, name=picture.name, width=picture.image.width, height=picture.image.height)

    return await answer(request, work)


@router.get(
    "/pictures/{id}", responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}}, response_class=Response
)
def show(
    page: Given, id: Annotated[PictureId, Path()], longest: Annotated[int, Query(ge=16, le=2048)] = 1024
) -> Response:
    """The picture, upright, its longest side at most `longest`; made anew, never the bytes that were given."""
    content, kind = encoded(picture_of(page, id).image, longest)
    return Response(content, media_type=kind, headers={"cache-control": "private, max-age=3600"})


def info(page: Page, index: int) -> PictureInfo:
    """Of a sample; one that cannot be read says why."""
    try:
        picture = page.pictures.sample(index)
    except CamlucidaError as error:
        return PictureInfo(id=f"s{index}", name=page.data[index].name, width=0, height=0, error=str(error))
    label = None if picture.label is None else class_label(picture.label, page.data.classes)
    return PictureInfo(
        id=picture.id, name=picture.name, width=picture.image.width, height=picture.image.height, label=label
    )
