"""POST /api/vary: change the picture a little and see whether the map follows."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field
from torch import Tensor

from camlucida.app.app_state import Page
from camlucida.app.jobs import Job, answer
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.routes.trust.common import (
    ClassChange,
    DoubtedMap,
    MapRequest,
    evidence,
    heat,
    on_input,
    seen,
    shrunk,
    stands,
)
from camlucida.app.schemas import EncodedMap, Schema, packed
from camlucida.attribution.error_context import error_context
from camlucida.reliability.stability import Perturbation, explain_perturbed

router = APIRouter()

LAID = 64
"""The longer side of the map that is laid back, in cells."""

Shift = Annotated[float, Field(ge=-0.25, le=0.25)]


class Vary(MapRequest):
    """Which map, and what is done to the picture as the network sees it: see `camlucida.reliability.stability.Change`."""

    angle: Annotated[float, Field(ge=-180, le=180)] = 0.0
    across: Shift = 0.0
    down: Shift = 0.0
    blur: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    light: Annotated[float, Field(ge=-0.5, le=0.5)] = 0.0
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class Varied(Schema):
    """What came of it; all pictures are as the network sees them.

    image        address of the changed picture
    heat         its map; `first` that of the unchanged picture
    back         two maps of one size: its map laid back on the first picture, and where that is known (1) or not (0)
    correlation  of ranks of `first` and `back`, where it is known; null for a map of one value
    shared       how much of the picture that is, 0 to 1
    target       the class
    classes      it first, then the likeliest before and after
    """

    image: str
    first: DoubtedMap
    heat: DoubtedMap
    back: EncodedMap
    correlation: float | None
    shared: float
    target: int
    classes: list[ClassChange]


@router.post("/vary", responses={200: {"model": Varied}})
async def changed(request: Request, page: AppDep, asked: Vary) -> Response:
    """Score and map of the changed picture, and how like the first map is."""
    return await answer(request, lambda job: moved(page, asked, job))


def moved(page: Page, asked: Vary, job: Job) -> Varied:
    """The first map from what was kept, the other one from the network."""
    image = image_of(page, asked.picture)
    found = evidence(page, asked, image, job)
    change = Perturbation(**{name: getattr(asked, name) for name in Perturbation.__dataclass_fields__})
    with error_context(found.model_input.model, image.image):
        made = explain_perturbed(found, change)
    place = on_input(found)
    return Varied(
        image=seen(found, made.inputs[0]),
        first=heat(found, found.raw, place),
        heat=heat(found, made.raw, place),
        back=packed(_laid(made.unperturbed_map)),
        correlation=None if math.isnan(made.correlation) else made.correlation,
        shared=made.valid_fraction,
        target=found.model_input.target,
        classes=stands(found.model_input.logits, made.logits, found.model_input.target, found.model_input.model.labels),
    )


def _laid(back: Tensor) -> Tensor:
    """(2, h, w): the map, each cell the mean of what is known in it, and whether at least half of it is."""
    known = back.isfinite().float()
    sums, shares = shrunk(torch.stack([back.nan_to_num() * known, known]), LAID)
    return torch.stack([sums / shares.clamp_min(1e-6), (shares >= 0.5).float()])
