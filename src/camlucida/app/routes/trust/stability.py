"""POST /api/perturb: perturb the image slightly and return how similar the new map is."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field
from torch import Tensor

from camlucida.app.app_state import Page
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.routes.trust.common import (
    ClassChange,
    DisplayedMap,
    MapRequest,
    class_changes,
    displayed,
    metric_inputs_for,
    network_input_uri,
    on_input,
    shrunk,
)
from camlucida.app.schemas import EncodedMap, Schema, packed
from camlucida.attribution.error_context import error_context
from camlucida.reliability.stability import Perturbation, explain_perturbed

router = APIRouter()

MAPPED_BACK_CELLS = 64
"""The longer side of the mapped-back map, in cells."""

Shift = Annotated[float, Field(ge=-0.25, le=0.25)]


class PerturbRequest(MapRequest):
    """The map to compute, and the perturbation: see `camlucida.reliability.stability.Perturbation`."""

    angle: Annotated[float, Field(ge=-180, le=180)] = 0.0
    across: Shift = 0.0
    down: Shift = 0.0
    blur: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    light: Annotated[float, Field(ge=-0.5, le=0.5)] = 0.0
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class PerturbResponse(Schema):
    """The result of a perturbation; all images are network inputs.

    Attributes:
        network_input: The perturbed image as a data URI.
        original_map: The map of the unmodified image.
        map: The map of the perturbed image.
        mapped_back: `map` mapped back to the unmodified image, and a map of where it is defined (1 or 0).
        correlation: Rank correlation of `original_map` and `mapped_back`; null for a constant map.
        valid_fraction: The fraction of the image where it is defined, in [0, 1].
        target: The class.
        classes: The target first, then the most probable classes before and after.
    """

    network_input: str
    original_map: DisplayedMap
    map: DisplayedMap
    mapped_back: EncodedMap
    correlation: float | None
    valid_fraction: float
    target: int
    classes: list[ClassChange]


@router.post("/perturb", responses={200: {"model": PerturbResponse}})
async def perturbed(request: Request, page: AppDep, params: PerturbRequest) -> Response:
    """Return the class probabilities and the map of the perturbed image, and its similarity to the first map."""
    return await answer(request, lambda job: _perturb(page, params, job))


def _perturb(page: Page, params: PerturbRequest, job: Job) -> PerturbResponse:
    """Compute the result; only the first map is cached."""
    image = image_of(page, params.image)
    metric_inputs = metric_inputs_for(page, params, image, job)
    change = Perturbation(**{name: getattr(params, name) for name in Perturbation.__dataclass_fields__})
    with error_context(metric_inputs.model_input.model, image.image):
        perturbed_map = explain_perturbed(metric_inputs, change)
    geometry = on_input(metric_inputs)
    return PerturbResponse(
        network_input=network_input_uri(metric_inputs, perturbed_map.inputs[0]),
        original_map=displayed(metric_inputs, metric_inputs.raw, geometry),
        map=displayed(metric_inputs, perturbed_map.raw, geometry),
        mapped_back=packed(_averaged(perturbed_map.unperturbed_map)),
        correlation=None if math.isnan(perturbed_map.correlation) else perturbed_map.correlation,
        valid_fraction=perturbed_map.valid_fraction,
        target=metric_inputs.model_input.target,
        classes=class_changes(
            metric_inputs.model_input.logits,
            perturbed_map.logits,
            metric_inputs.model_input.target,
            metric_inputs.model_input.model.labels,
            metric_inputs.model_input.activation,
        ),
    )


def _averaged(mapped_back: Tensor) -> Tensor:
    """Return `(2, h, w)`: the mean of the defined values per cell, and whether at least half of the cell is defined."""
    known = mapped_back.isfinite().float()
    sums, fractions = shrunk(torch.stack([mapped_back.nan_to_num() * known, known]), MAPPED_BACK_CELLS)
    return torch.stack([sums / fractions.clamp_min(1e-6), (fractions >= 0.5).float()])
