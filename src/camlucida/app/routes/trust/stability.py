"""POST /api/vary: perturb the image slightly and return how closely the map follows."""

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
"""The longer side of the mapped-back map, in cells."""

Shift = Annotated[float, Field(ge=-0.25, le=0.25)]


class Vary(MapRequest):
    """The map to compute, and the perturbation: see `camlucida.reliability.stability.Perturbation`."""

    angle: Annotated[float, Field(ge=-180, le=180)] = 0.0
    across: Shift = 0.0
    down: Shift = 0.0
    blur: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    light: Annotated[float, Field(ge=-0.5, le=0.5)] = 0.0
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class Varied(Schema):
    """The result of a perturbation; all images are network inputs.

    Attributes:
        image: The perturbed image as a data URI.
        first: The map of the unmodified image.
        heat: The map of the perturbed image.
        back: Two maps of the same size: `heat` mapped back to the unmodified image, and where it is defined (1 or 0).
        correlation: Rank correlation of `first` and `back` where it is defined; null for a constant map.
        shared: The fraction of the image where it is defined, in [0, 1].
        target: The class.
        classes: The target first, then the most probable classes before and after.
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
    """Return the class probabilities and the map of the perturbed image, and its similarity to the first map."""
    return await answer(request, lambda job: moved(page, asked, job))


def moved(page: Page, asked: Vary, job: Job) -> Varied:
    """Compute the result; only the first map is cached."""
    image = image_of(page, asked.picture)
    metric_inputs = evidence(page, asked, image, job)
    change = Perturbation(**{name: getattr(asked, name) for name in Perturbation.__dataclass_fields__})
    with error_context(metric_inputs.model_input.model, image.image):
        perturbed_map = explain_perturbed(metric_inputs, change)
    place = on_input(metric_inputs)
    return Varied(
        image=seen(metric_inputs, perturbed_map.inputs[0]),
        first=heat(metric_inputs, metric_inputs.raw, place),
        heat=heat(metric_inputs, perturbed_map.raw, place),
        back=packed(_laid(perturbed_map.unperturbed_map)),
        correlation=None if math.isnan(perturbed_map.correlation) else perturbed_map.correlation,
        shared=perturbed_map.valid_fraction,
        target=metric_inputs.model_input.target,
        classes=stands(
            metric_inputs.model_input.logits,
            perturbed_map.logits,
            metric_inputs.model_input.target,
            metric_inputs.model_input.model.labels,
        ),
    )


def _laid(back: Tensor) -> Tensor:
    """Return `(2, h, w)`: the mean of the defined values per cell, and whether at least half of the cell is defined."""
    known = back.isfinite().float()
    sums, shares = shrunk(torch.stack([back.nan_to_num() * known, known]), LAID)
    return torch.stack([sums / shares.clamp_min(1e-6), (shares >= 0.5).float()])
