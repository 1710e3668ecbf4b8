"""POST /api/occlude: occlude a region of the image, and return the class probabilities and the new map."""

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
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.routes.trust.common import (
    ClassChange,
    DisplayedMap,
    MapRequest,
    class_changes,
    data_uri,
    displayed,
    map_of,
    metric_inputs_for,
)
from camlucida.app.schemas import Schema
from camlucida.errors import ImageError
from camlucida.features.common import shrink_image
from camlucida.reliability.occlude import OcclusionInfill, occlude

router = APIRouter()

MAX_MASK_CELLS = 256
"""Maximum length of a mask's longer side, in cells."""
MAX_IMAGE_PX = 1024
"""Maximum longer side of the image to occlude, in pixels; a larger image is reduced first, also for the comparison."""
PREVIEW_PX = 512


class OcclusionMask(Schema):
    """The occluded region: bits (height, width), row-major, most significant first, without row padding; base64."""

    width: Annotated[int, Field(ge=1, le=MAX_MASK_CELLS)]
    height: Annotated[int, Field(ge=1, le=MAX_MASK_CELLS)]
    bits: Annotated[str, Field(max_length=4 * -(-MAX_MASK_CELLS * MAX_MASK_CELLS // 8 // 3))]


class OccludeRequest(MapRequest):
    """The map to compute, the region to occlude, and the infill.

    Attributes:
        mask: The region.
        infill: What replaces the region: `blur`, middle `grey`, or the `mean` colour of the rest of the image.
        keep: Whether to keep the occluded image in memory, so that it can be explained like any other image.
    """

    mask: OcclusionMask
    infill: OcclusionInfill = "blur"
    keep: bool = False


class OccludeResponse(Schema):
    """The result of an occlusion.

    Attributes:
        preview: The occluded image, reduced, as a data URI.
        image: Its id, if it is kept.
        fraction: The fraction of the image that is occluded, in [0, 1].
        target: The class.
        classes: The target first, then the most probable classes before and after.
        map: The new map of the same class.
    """

    preview: str
    image: str | None
    fraction: float
    target: int
    classes: list[ClassChange]
    map: DisplayedMap


@router.post("/occlude", responses={200: {"model": OccludeResponse}})
async def occluded(request: Request, page: AppDep, params: OccludeRequest) -> Response:
    """Return the class probabilities and the map of the image with a region occluded."""
    return await answer(request, lambda job: _occlude(page, params, job))


def _occlude(page: Page, params: OccludeRequest, job: Job) -> OccludeResponse:
    """Compute the result; it is not cached, because no two masks are the same."""
    mask = unpacked_mask(params.mask)
    image = _reduced(image_of(page, params.image))
    before = metric_inputs_for(page, params, image, job)
    occluded_image = occlude(image.image, mask, params.infill)
    same_class = params.model_copy(update={"target": before.model_input.target})
    after = map_of(page, same_class, occluded_image, f"{image.name}, occluded", job, before.model_input.model)
    kept = page.images.add_upload(occluded_image, f"{image.name}, occluded") if params.keep else None
    return OccludeResponse(
        preview=data_uri(shrink_image(occluded_image, PREVIEW_PX)),
        image=kept.id if kept else None,
        fraction=float(mask.mean()),
        target=before.model_input.target,
        classes=class_changes(
            before.model_input.logits,
            after.model_input.logits,
            before.model_input.target,
            before.model_input.model.labels,
            before.model_input.activation,
        ),
        map=displayed(after, after.raw, after.model_input.geometry),
    )


def unpacked_mask(mask: OcclusionMask) -> NDArray[Any]:
    """Return the mask as a bool array `(height, width)`.

    Raises:
        ImageError: If the encoding is invalid.
    """
    try:
        content = base64.b64decode(mask.bits, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("the mask is not valid base64.") from None
    count = mask.width * mask.height
    if len(content) != -(-count // 8):
        raise ImageError(
            f"a mask of {mask.width} × {mask.height} cells has {-(-count // 8)} bytes; {len(content)} were sent."
        )
    bits = np.unpackbits(np.frombuffer(content, np.uint8), count=count)
    return bits.astype(bool).reshape(mask.height, mask.width)


def _reduced(stored: StoredImage) -> StoredImage:
    """Return the image itself if it is small enough, else a reduced one with its own digest."""
    image = shrink_image(stored.image, MAX_IMAGE_PX)
    if image.size == stored.image.size:
        return stored
    return StoredImage(stored.id, stored.name, image, f"{stored.digest}/{MAX_IMAGE_PX}", stored.label, stored.index)
