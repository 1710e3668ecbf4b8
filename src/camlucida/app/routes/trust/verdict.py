"""POST /api/trust: can this map be believed? The verdict in words, and every number behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response

from camlucida.app.app_state import Page
from camlucida.app.jobs import Job, answer
from camlucida.app.request_limits import check_method
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.routes.trust.common import MapRequest, address, key, shrunk
from camlucida.app.schemas import EncodedMap, Schema, packed
from camlucida.reliability import Trust, trust
from camlucida.reliability.similarity import ClassSimilarity
from camlucida.reliability.verdict import MAX_P, MIN_STABILITY, REJECT_P, VerdictLevel, min_correlation
from camlucida.render.resize import to_image

router = APIRouter()

MASK = 112
"""The longer side of the marked area, in cells."""
SMALL = 32
"""Of the maps that it was compared with."""


class Certain(Schema):
    """How the model's probabilities are spread: `unsure` 0 to 1; `choices`, as unsure as among so many classes."""

    probability: float
    margin: float
    choices: float
    classes: int
    unsure: float
    guessing: bool


class PlaceFalls(Schema):
    """How far the class falls, in nats, when what the map marks is blurred out; `falls` of all moves, its own first.

    marked   what was blurred out, from 0 to 1, on the network's input
    """

    p: float
    fall: float
    elsewhere: float
    falls: list[float]
    marked: EncodedMap


class EdgeFalls(Schema):
    """What the class loses, in nats, when the edge or the middle is blurred; `marked`: the map's share in the edge."""

    edge: float
    middle: float
    marked: float
    decides: bool


class AlikeMap(Schema):
    """Rank correlation of the map with another one; null for a map of one value."""

    name: str
    correlation: float | None


class TrustRules(Schema):
    """Where the verdict draws its lines: levels of p, and the correlation that copies need."""

    level: float
    hopeless: float
    steady: float


class Verdict(Schema):
    """The verdict on one map.

    classes, noise, shifts   likeness with the maps of other classes, of noisy and of shifted copies
    band     the lowest likeness of a copy: maps of other classes should lie below it
    maps     those maps, in this order, small, on the network's input; none where there is no place to test
    seen, blurred   addresses of the network's input, as it is and without what the map marks
    """

    belief: VerdictLevel
    reasons: list[str]
    target: str
    predicted: str
    probability: float
    certainty: Certain
    place: PlaceFalls | None
    edge: EdgeFalls
    classes: list[AlikeMap]
    noise: list[AlikeMap]
    shifts: list[AlikeMap]
    band: float | None
    maps: EncodedMap | None
    seen: str
    blurred: str
    rules: TrustRules


@router.post("/trust", responses={200: {"model": Verdict}})
async def trusted(request: Request, page: AppDep, asked: MapRequest) -> Response:
    """Put a map to the test, with about 145 runs of the network. As a stream of events also how far it is."""
    return await answer(request, lambda job: judged(page, asked, job), "long")


def judged(page: Page, asked: MapRequest, job: Job) -> Verdict | bytes:
    """From what was kept, or from the network."""
    image = image_of(page, asked.picture)
    which = key(page, asked, image, "trust")
    kept = page.memory.answers.get(which)
    if kept is not None:
        return kept
    check_method(asked.method)
    found = trust(
        page.model(asked.model).model,
        image.image,
        method=asked.method,
        layer=asked.layer,
        target=asked.target,
        progress=job.tick,
    )
    body = verdict_of(found).model_dump_json().encode()
    page.memory.answers.put(which, body)
    return body


def verdict_of(found: Trust) -> Verdict:
    """What crosses the border of it."""
    told, place, c = found.verdict, found.position_test, found.confidence
    others = (*found.classes, *found.noise, *found.shifts)
    return Verdict(
        belief=told.level,
        reasons=list(told.reasons),
        target=found.target,
        predicted=found.predicted,
        probability=found.probability,
        certainty=Certain(
            probability=c.probability,
            margin=c.margin,
            choices=c.choices,
            classes=c.classes,
            unsure=c.unsure,
            guessing=c.guessing,
        ),
        place=None
        if place is None
        else PlaceFalls(
            p=place.p,
            fall=place.drop,
            elsewhere=place.mean_drop_elsewhere,
            falls=place.drops.tolist(),
            marked=packed(shrunk(place.highlighted[None], MASK)),
        ),
        edge=EdgeFalls(
            edge=found.border_test.edge,
            middle=found.border_test.middle,
            marked=found.border_test.marked,
            decides=found.border_test.decides,
        ),
        classes=_likes(found.classes),
        noise=_likes(found.noise),
        shifts=_likes(found.shifts),
        band=_known(min_correlation((*found.noise, *found.shifts))),
        maps=packed(shrunk(torch.stack([one.map for one in others]), SMALL)) if others else None,
        seen=address(to_image(found.input_pixels)),
        blurred=address(to_image(found.occluded_pixels)),
        rules=TrustRules(level=MAX_P, hopeless=REJECT_P, steady=MIN_STABILITY),
    )


def _likes(found: Sequence[ClassSimilarity]) -> list[AlikeMap]:
    return [AlikeMap(name=one.name, correlation=_known(one.correlation)) for one in found]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
