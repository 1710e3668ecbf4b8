"""POST /api/cover: occlude a region of the image, and return the class probabilities and the new map."""

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
"""Maximum length of a mask's longer side, in cells."""
LONGEST = 1024
"""Maximum longer side of the image to occlude, in pixels; a larger image is reduced first, also for the comparison."""
SHOWN = 512


class CoverMask(Schema):
    """The occluded region: bits (height, width), row-major, most significant first, without row padding; base64."""

    width: Annotated[int, Field(ge=1, le=SIDE)]
    height: Annotated[int, Field(ge=1, le=SIDE)]
    bits: Annotated[str, Field(max_length=4 * -(-SIDE * SIDE // 8 // 3))]


class Covering(MapRequest):
    """The map to compute, the region to occlude, and the infill.

    Attributes:
        mask: The region.
        fill: The infill: `blur`, middle `grey`, or the `mean` colour of the rest of the image.
        keep: Whether to keep the occluded image in memory, so that it can be explained like any other image.
    """

    mask: CoverMask
    fill: OcclusionInfill = "blur"
    keep: bool = False


class Covered(Schema):
    """The result of an occlusion.

    Attributes:
        image: The occluded image as a data URI.
        picture: Its id, if it is kept.
        share: The fraction of the image that is occluded, in [0, 1].
        target: The class.
        classes: The target first, then the most probable classes before and after.
        heat: The new map of the same class.
    """

    image: str
    picture: str | None
    share: float
    target: int
    classes: list[ClassChange]
    heat: DoubtedMap


@router.post("/cover", responses={200: {"model": Covered}})
async def cover(request: Request, page: AppDep, asked: Covering) -> Response:
    """Return the class probabilities and the map of the image with a region occluded."""
    return await answer(request, lambda job: without(page, asked, job))


def without(page: Page, asked: Covering, job: Job) -> Covered:
    """Compute the result; it is not cached, because no two masks are the same."""
    mask = unpacked_mask(asked.mask)
    image = _smaller(image_of(page, asked.picture))
    before = evidence(page, asked, image, job)
    occluded_image = occlude(image.image, mask, asked.fill)
    same_class = asked.model_copy(update={"target": before.model_input.target})
    after = map_of(page, same_class, occluded_image, f"{image.name}, covered", job)
    kept = page.pictures.give(occluded_image, f"{image.name}, covered") if asked.keep else None
    return Covered(
        image=address(shrink_image(occluded_image, SHOWN)),
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
    """Return the mask as a bool array `(height, width)`.

    Raises:
        ImageError: If the encoding is invalid.
    """
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
    """Return the image itself if it is small enough, else a reduced one with its own digest."""
    image = shrink_image(picture.image, LONGEST)
    if image.size == picture.image.size:
        return picture
    return StoredImage(picture.id, picture.name, image, f"{picture.digest}/{LONGEST}", picture.label, picture.index)
