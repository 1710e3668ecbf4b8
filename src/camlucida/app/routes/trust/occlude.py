"""POST /api/cover: cover a part of the picture and see what becomes of the class and of its map."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from numpy.typing import NDArray
from pydantic import Field

from camlucida.app.app_state import Page
from camlucida.app.images import StoredImage
from camlucida.app.jobs import Job, answer
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.routes.trust.common import (
    ClassChange,
    DoubtedMap,
    MapRequest,
    address,
    evidence,
    heat,
    map_of,
    stands,
)
from camlucida.app.schemas import Schema
from camlucida.errors import ImageError
from camlucida.features.common import shrink_image
from camlucida.reliability.occlude import OcclusionInfill, occlude

router = APIRouter()

SIDE = 256
"""Cells of a mask along its longer side, at most."""
LONGEST = 1024
"""Of the picture that is covered; a larger one is made smaller first, and compared with itself as small as that."""
SHOWN = 512


class CoverMask(Schema):
    """What is covered: bits (height, width), row by row, the highest first, without gaps between rows; base64."""

    width: Annotated[int, Field(ge=1, le=SIDE)]
    height: Annotated[int, Field(ge=1, le=SIDE)]
    bits: Annotated[str, Field(max_length=4 * -(-SIDE * SIDE // 8 // 3))]


class Covering(MapRequest):
    """Which map, what is covered, and with what: `blur`, middle `grey`, or the `mean` colour of the rest.

    keep   also keep the covered picture in memory, so that it can be asked about like any other
    """

    mask: CoverMask
    fill: OcclusionInfill = "blur"
    keep: bool = False


class Covered(Schema):
    """What came of it.

    image    address of the covered picture
    picture  its id, where it was to be kept
    share    how much of the picture is covered, 0 to 1
    target   the class
    classes  it first, then the likeliest before and after
    heat     the map of the same class now
    """

    image: str
    picture: str | None
    share: float
    target: int
    classes: list[ClassChange]
    heat: DoubtedMap


@router.post("/cover", responses={200: {"model": Covered}})
async def cover(request: Request, page: AppDep, asked: Covering) -> Response:
    """Score and map of the picture with a part of it covered."""
    return await answer(request, lambda job: without(page, asked, job))


def without(page: Page, asked: Covering, job: Job) -> Covered:
    """Always from the network: no two strokes are the same."""
    mask = unpacked_mask(asked.mask)
    image = _smaller(image_of(page, asked.picture))
    before = evidence(page, asked, image, job)
    made = occlude(image.image, mask, asked.fill)
    same_class = asked.model_copy(update={"target": before.model_input.target})
    after = map_of(page, same_class, made, f"{image.name}, covered", job)
    kept = page.pictures.give(made, f"{image.name}, covered") if asked.keep else None
    return Covered(
        image=address(shrink_image(made, SHOWN)),
        picture=kept.id if kept else None,
        share=float(mask.mean()),
        target=before.model_input.target,
        classes=stands(
            before.model_input.logits,
            after.model_input.logits,
            before.model_input.target,
            before.model_input.model.labels,
        ),
        heat=heat(after, after.raw, after.model_input.geometry),
    )


def unpacked_mask(mask: CoverMask) -> NDArray[Any]:
    """(height, width) bool. Raises `ImageError` where it is not what it says."""
    try:
        content = base64.b64decode(mask.bits, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("the mask is no base64.") from None
    count = mask.width * mask.height
    if len(content) != -(-count // 8):
        raise ImageError(f"a mask of {mask.width} × {mask.height} has {-(-count // 8)} bytes, not {len(content)}.")
    bits = np.unpackbits(np.frombuffer(content, np.uint8), count=count)
    return bits.astype(bool).reshape(mask.height, mask.width)


def _smaller(picture: StoredImage) -> StoredImage:
    """The picture itself if it is small enough; else a smaller one, under a digest of its own."""
    image = shrink_image(picture.image, LONGEST)
    if image.size == picture.image.size:
        return picture
    return StoredImage(picture.id, picture.name, image, f"{picture.digest}/{LONGEST}", picture.label, picture.index)
