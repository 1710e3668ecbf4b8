"""POST /api/targets: what can be explained in one image beside the classes: its boxes, regions, prompts or words."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response

from camlucida.app.app_state import Page
from camlucida.app.cache_keys import request_key
from camlucida.app.image_targets import ASKS_FIRST, bound_on, class_runs, classes_on_image, packed_mask, regions_overlap
from camlucida.app.job_responses import answer
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.schemas import ImageId, Name, Question, Schema
from camlucida.attribution.bind_targets import region_on_image, spec_on_image
from camlucida.models.image_targets import BoundTarget
from camlucida.models.segmentation.targets import spelled_class
from camlucida.render.class_mask import class_colours
from camlucida.targets import class_label
from camlucida.types import Geometry

router = APIRouter(tags=["explain"])

MASK_CELLS = 160
"""The longer side of a mask, in cells."""
CLASS_CELLS = 512
"""The longer side of the predicted classes, in cells."""


class TargetsRequest(Schema):
    """The image, by id, a model of the app (the first one if not given), and the question to it, if it answers one."""

    image: ImageId
    model: Name | None = None
    question: Question | None = None


class MaskOut(Schema):
    """A mask over the whole image: bits (height, width), row-major, most significant first, base64."""

    width: int
    height: int
    bits: str


class ImageTargetOut(Schema):
    """One target of an image.

    Attributes:
        spec: What requests name it by, such as "box 3"; empty if it cannot be named.
        label: The target as text: "dog (box 3)".
        name: The same without the spec: "dog".
        probability: The probability with which the network detected it; null without one.
        box: (left, top, right, bottom) in pixels of the image; null without a box.
        point: (x, y) in pixels of the image; null without a point.
        mask: Its mask; null without one.
    """

    spec: str
    label: str
    name: str
    probability: float | None
    box: tuple[float, float, float, float] | None
    point: tuple[float, float] | None
    mask: MaskOut | None


class PredictedClassOut(Schema):
    """One class that a segmentation network predicts somewhere in the image.

    Attributes:
        index: Its index among the outputs of the network.
        name: Its name.
        colour: Its colour in the panels, such as "#d55e00".
        fraction: The fraction of the image that is predicted as it, from 0 to 1.
        spec: The target that means all of its pixels: "class:dog".
    """

    index: int
    name: str
    colour: str
    fraction: float
    spec: str


class PredictedClassesOut(Schema):
    """The class that is predicted at every pixel, over the whole image.

    Attributes:
        width: Number of columns: that of the image in pixels, or less if its longer side has more than 512 pixels.
        height: Number of rows.
        runs: Indices of classes, row by row: an index and the number of cells that have it, in turns; -1 where no class
            is predicted, or outside the network input.
        classes: The classes, largest region first.
        overlap: Whether several classes are predicted at one pixel; the smallest region has it then.
    """

    width: int
    height: int
    runs: list[int]
    classes: list[PredictedClassOut]
    overlap: bool


class TargetsResponse(Schema):
    """The targets of an image.

    Attributes:
        kind: "detection", "segmentation", "image-text", "similarity", "caption" or "question"; null for a model whose
            targets are its classes.
        size: (width, height) of the image, in pixels.
        targets: The targets in order, most confident first, or as the words of a sentence; empty for a model whose
            targets are its classes, or which needs a text or a question first.
        classes: The predicted classes of a segmentation network; null for other models.
    """

    kind: str | None
    size: tuple[int, int]
    targets: list[ImageTargetOut]
    classes: PredictedClassesOut | None


@router.post("/targets", responses={200: {"model": TargetsResponse}})
async def targets(request: Request, page: AppDep, params: TargetsRequest) -> Response:
    """Return the boxes, regions or words of an image, as far as the model has such targets."""
    return await answer(request, lambda _: _cached_or_computed(page, params))


def _cached_or_computed(page: Page, params: TargetsRequest) -> TargetsResponse | bytes:
    """Return the response from the cache, or compute it."""
    image, served = image_of(page, params.image), page.model(params.model, params.question)
    key = request_key("targets", served, image, params)
    if (cached := page.caches.responses.get(key)) is not None:
        return cached
    found: list[ImageTargetOut] = []
    classes = None
    kind = None if served.model.image_targets is None else served.model.image_targets.kind
    if kind is not None and kind not in ASKS_FIRST:
        bound, geometry = bound_on(served.model, image.image, [None])
        found = [target_out(one, geometry) for one in bound]
        classes = classes_out(bound, geometry, served.model.labels)
    made = TargetsResponse(kind=kind, size=image.image.size, targets=found, classes=classes)
    body = made.model_dump_json().encode()
    page.caches.responses.put(key, body)
    return body


def target_out(bound: BoundTarget, geometry: Geometry) -> ImageTargetOut:
    """Return a target for the client; geometry is that of the network input."""
    region, spec = region_on_image(bound.region, geometry), spec_on_image(bound.spec, geometry)
    label = spec_on_image(bound.label, geometry)
    if not label:
        target = bound.target
        label = class_label(target, bound.model.labels) if isinstance(target, int) else str(target)
    mask = None
    if region is not None and region.mask is not None:
        width, height, bits = packed_mask(region.mask.cpu().numpy().astype(bool), MASK_CELLS)
        mask = MaskOut(width=width, height=height, bits=base64.b64encode(bits).decode())
    probability = None if region is None else region.probability
    return ImageTargetOut(
        spec=spec,
        label=label,
        name=label.removesuffix(f" ({spec})"),
        probability=probability if probability is not None and math.isfinite(probability) else None,
        box=None if region is None else region.box,
        point=None if region is None else region.point,
        mask=mask,
    )


def classes_out(
    bound: Sequence[BoundTarget], geometry: Geometry, labels: tuple[str, ...]
) -> PredictedClassesOut | None:
    """Return the predicted classes for the client; None for targets of no segmentation network."""
    classes = classes_on_image(bound, geometry)
    if classes is None:
        return None
    indices = classes.indices.numpy()
    width, height, runs = class_runs(indices, CLASS_CELLS)
    entries = [
        PredictedClassOut(
            index=index,
            name=classes.names[index],
            colour=f"#{colour}",
            fraction=float(np.mean(indices == index)),
            spec=f"class:{spelled_class(index, labels)}",
        )
        for index, colour in class_colours(classes).items()
    ]
    return PredictedClassesOut(width=width, height=height, runs=runs, classes=entries, overlap=regions_overlap(bound))
