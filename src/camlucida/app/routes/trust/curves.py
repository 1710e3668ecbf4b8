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
from camlucida.app.jobs import Job, answer
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.routes.trust.common import MapRequest, evidence, key, seen
from camlucida.app.schemas import Schema
from camlucida.errors import MetricError
from camlucida.evaluation.baselines import CONTROLS
from camlucida.evaluation.metric_inputs import MetricInputs
from camlucida.metrics.common.perturbation import area_under_curve, probability
from camlucida.metrics.common.perturbation_curve import PerturbationCurve, perturbation_curve
from camlucida.metrics.common.ranking import is_nonzero
from camlucida.targets import class_label

router = APIRouter()

STEPS = 28
"""The number of steps of a curve, the same as in `camlucida evaluate`."""
YARDSTICKS = ("centre", "random")
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
    """The removal order: bytes (height, width), base64; at point k all pixels with a byte of at most k are gone."""

    width: int
    height: int
    first: str


class CurveSteps(Schema):
    """The data from which any point can be drawn: `seen` and the infill `substrate`, both as network inputs."""

    steps: int
    seen: str
    substrate: str
    order: CurveOrder


class WalkCurves(Schema):
    """The complete curves. `target` is the class."""

    target: str
    walked: CurveSteps
    lines: list[CurveLine]


@router.post("/curves", responses={200: {"model": WalkCurves}})
async def drawn(request: Request, page: AppDep, asked: MapRequest) -> Response:
    """Return insertion and deletion curves.

    A stream sends `walked` (a CurveSteps) first, and `points` (a CurveLine) as they are computed.
    """
    return await answer(request, lambda job: curves(page, asked, job), "long")


def curves(page: Page, asked: MapRequest, job: Job) -> WalkCurves | bytes:
    """Return the response from the cache, or compute it."""
    image = image_of(page, asked.picture)
    which = key(page, asked, image, "curves")
    kept = page.memory.answers.get(which)
    if kept is not None:
        return kept
    metric_inputs = evidence(page, asked, image, job)
    body = _followed(metric_inputs, job).model_dump_json().encode()
    page.memory.answers.put(which, body)
    return body


def _followed(found: MetricInputs, job: Job) -> WalkCurves:
    model_input = found.model_input
    maps = {"map": found.relevance}
    if not is_nonzero(found.relevance):
        raise MetricError("the map is zero everywhere: it puts no pixel before another.")
    controls = {one.name: one for one in CONTROLS}
    for name in YARDSTICKS:
        maps[name] = controls[name].maps(model_input, model_input.inputs, torch.tensor([model_input.target]))[0]
    walks = {(of, kind): _walk(found, map_, kind) for of, map_ in maps.items() for kind in KINDS}
    first = walks["map", "deletion"]
    walked = _images(found, first)
    job.send("walked", walked)
    lines, done, total = [], 0, sum(map(len, walks.values()))
    for (of, kind), there in walks.items():
        points: list[Tensor] = []
        start = 0
        for scores in model_input.predict_each(there.images, len(there)):
            points.append(probability(scores, model_input.target))
            job.send("points", CurveLine(kind=kind, of=of, start=start, values=points[-1].tolist()))
            start += len(scores)
            job.tick(done + start, total)
        done += len(there)
        curve = torch.cat(points)
        lines.append(CurveLine(kind=kind, of=of, start=0, values=curve.tolist(), area=area_under_curve(curve)))
    target = class_label(model_input.target, model_input.model.labels)
    return WalkCurves(target=target, walked=walked, lines=lines)


def _walk(found: MetricInputs, map_: Tensor, kind: Kind) -> PerturbationCurve:
    """Return the perturbation curve with the random generator of the metric with that name."""
    here = dataclasses.replace(found, purpose=kind)
    return perturbation_curve(
        map_,
        here.inputs,
        here.model_input.pixel_scale,
        here.model_input.black_level,
        here.random,
        steps=STEPS,
        inserting=kind == "insertion",
    )


def _images(found: MetricInputs, there: PerturbationCurve) -> CurveSteps:
    inputs = found.inputs
    nothing = there.remove(torch.ones_like(inputs[:1], dtype=torch.bool))[0]
    # A pixel is gone at the first point whose count exceeds the pixel's position in the order.
    gone = torch.bucketize(there.order.cpu(), torch.tensor(there.counts), right=True).to(torch.uint8)
    height, width = gone.shape
    order = CurveOrder(width=width, height=height, first=base64.b64encode(gone.numpy().tobytes()).decode())
    return CurveSteps(steps=len(there) - 1, seen=seen(found, inputs), substrate=seen(found, nothing), order=order)
