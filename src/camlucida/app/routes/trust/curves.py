"""POST /api/curves: insertion and deletion curves of a map and of two uninformative baselines, point by point."""

from __future__ import annotations

import base64
import dataclasses
from typing import Literal

import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response
from torch import Tensor

from camlucida.app.app_state import Page
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.routes.trust.common import MapRequest, key, metric_inputs_for, network_input_uri
from camlucida.app.schemas import Schema
from camlucida.errors import MetricError
from camlucida.evaluation.baselines import CONTROLS
from camlucida.evaluation.metric_inputs import MetricInputs
from camlucida.metrics.common.perturbation import area_under_curve, probability
from camlucida.metrics.common.perturbation_curve import PerturbationCurve, perturbation_curve
from camlucida.metrics.common.ranking import is_nonzero
from camlucida.targets import class_label

router = APIRouter()

N_STEPS = 28
"""The number of steps of a curve, the same as in `camlucida evaluate`."""
BASELINES = ("centre", "random")
"""The baselines: a centred Gaussian, and a random map."""

Kind = Literal["insertion", "deletion"]
KINDS: tuple[Kind, ...] = ("insertion", "deletion")


class CurveLine(Schema):
    """Probabilities of the class from point `start` on; `of` is map, centre or random. `area` is set when complete."""

    kind: Kind
    of: str
    start: int
    values: list[float]
    area: float | None = None


class CurveOrder(Schema):
    """The removal order: bytes (height, width), base64; at point k all pixels with a byte of at most k are replaced."""

    width: int
    height: int
    first: str


class CurveSteps(Schema):
    """The data from which any point can be drawn: `network_input` and its `infill`, both as data URIs."""

    n_steps: int
    network_input: str
    infill: str
    order: CurveOrder


class CurvesResponse(Schema):
    """The complete curves. `target` is the class."""

    target: str
    steps: CurveSteps
    lines: list[CurveLine]


@router.post("/curves", responses={200: {"model": CurvesResponse}})
async def curves(request: Request, page: AppDep, params: MapRequest) -> Response:
    """Return insertion and deletion curves.

    A stream sends `steps` (a CurveSteps) first, and `points` (a CurveLine) as they are computed.
    """
    return await answer(request, lambda job: _cached_or_computed(page, params, job), "long")


def _cached_or_computed(page: Page, params: MapRequest, job: Job) -> CurvesResponse | bytes:
    """Return the response from the cache, or compute it."""
    image = image_of(page, params.image)
    which = key(page, params, image, "curves")
    kept = page.caches.responses.get(which)
    if kept is not None:
        return kept
    metric_inputs = metric_inputs_for(page, params, image, job)
    body = _compute(metric_inputs, job).model_dump_json().encode()
    page.caches.responses.put(which, body)
    return body


def _compute(metric_inputs: MetricInputs, job: Job) -> CurvesResponse:
    model_input = metric_inputs.model_input
    maps = {"map": metric_inputs.relevance}
    if not is_nonzero(metric_inputs.relevance):
        raise MetricError("the map is zero everywhere, so its pixels cannot be ranked.")
    controls = {control.name: control for control in CONTROLS}
    for name in BASELINES:
        maps[name] = controls[name].maps(model_input, model_input.inputs, torch.tensor([model_input.target]))[0]
    all_curves = {(of, kind): _curve(metric_inputs, map_, kind) for of, map_ in maps.items() for kind in KINDS}
    first = all_curves["map", "deletion"]
    steps = _steps(metric_inputs, first)
    job.send("steps", steps)
    lines, done, total = [], 0, sum(map(len, all_curves.values()))
    for (of, kind), curve in all_curves.items():
        points: list[Tensor] = []
        start = 0
        for scores in model_input.predict_each(curve.images, len(curve)):
            points.append(probability(scores, model_input.target))
            job.send("points", CurveLine(kind=kind, of=of, start=start, values=points[-1].tolist()))
            start += len(scores)
            job.progress(done + start, total)
        done += len(curve)
        values = torch.cat(points)
        lines.append(CurveLine(kind=kind, of=of, start=0, values=values.tolist(), area=area_under_curve(values)))
    target = class_label(model_input.target, model_input.model.labels)
    return CurvesResponse(target=target, steps=steps, lines=lines)


def _curve(metric_inputs: MetricInputs, map_: Tensor, kind: Kind) -> PerturbationCurve:
    """Return the perturbation curve with the random generator of the metric with that name."""
    inputs = dataclasses.replace(metric_inputs, purpose=kind)
    return perturbation_curve(
        map_,
        inputs.inputs,
        inputs.model_input.pixel_scale,
        inputs.model_input.black_level,
        inputs.random,
        steps=N_STEPS,
        inserting=kind == "insertion",
    )


def _steps(metric_inputs: MetricInputs, curve: PerturbationCurve) -> CurveSteps:
    inputs = metric_inputs.inputs
    infill = curve.remove(torch.ones_like(inputs[:1], dtype=torch.bool))[0]
    # A pixel is replaced at the first point whose count exceeds the pixel's position in the order.
    replaced_at = torch.bucketize(curve.order.cpu(), torch.tensor(curve.counts), right=True).to(torch.uint8)
    height, width = replaced_at.shape
    order = CurveOrder(width=width, height=height, first=base64.b64encode(replaced_at.numpy().tobytes()).decode())
    return CurveSteps(
        n_steps=len(curve) - 1,
        network_input=network_input_uri(metric_inputs, inputs),
        infill=network_input_uri(metric_inputs, infill),
        order=order,
    )
