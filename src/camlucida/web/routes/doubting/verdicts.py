"""POST /api/trust: can this map be believed? The verdict in words, and every number behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response

from camlucida.trusting import Trust, trust
from camlucida.trusting.agreement import Likeness
from camlucida.trusting.value import to_image
from camlucida.trusting.verdict import HOPELESS, LEVEL, STEADY, Belief, lowest
from camlucida.web.limits import check_method
from camlucida.web.page import Page
from camlucida.web.routes.doubting.asking import Doubt, address, key, shrunk
from camlucida.web.routes.given import Given, picture_of
from camlucida.web.wire import Packed, Wire, packed
from camlucida.web.work import Job, answer

router = APIRouter()

MASK = 112
"""The longer side of the marked area, in cells."""
SMALL = 32
"""Of the maps that it was compared with."""


class Certain(Wire):
    """How the model's probabilities are spread: `unsure` 0 to 1; `choices`, as unsure as among so many classes."""

    probability: float
    margin: float
    choices: float
    classes: int
    unsure: float
    guessing: bool


class PlaceFalls(Wire):
    """How far the class falls, in nats, when what the map marks is blurred out; `falls` of all moves, its own first.

    marked   what was blurred out, from 0 to 1, on the network's input
    """

    p: float
    fall: float
    elsewhere: float
    falls: list[float]
    marked: Packed


class EdgeFalls(Wire):
    """What the class loses, in nats, when the edge or the middle is blurred; `marked`: the map's share in the edge."""

    edge: float
    middle: float
    marked: float
    decides: bool


class AlikeMap(Wire):
    """Rank correlation of the map with another one; null for a map of one value."""

    name: str
    correlation: float | None


class TrustRules(Wire):
    """Where the verdict draws its lines: levels of p, and the correlation that copies need."""

    level: float
    hopeless: float
    steady: float


class Verdict(Wire):
    """The verdict on one map.

    classes, noise, shifts   likeness with the maps of other classes, of noisy and of shifted copies
    band     the lowest likeness of a copy: maps of other classes should lie below it
    maps     those maps, in this order, small, on the network's input; none where there is no place to test
    seen, blurred   addresses of the network's input, as it is and without what the map marks
    """

    belief: Belief
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
    maps: Packed | None
    seen: str
    blurred: str
    rules: TrustRules


@router.post("/trust", responses={200: {"model": Verdict}})
async def trusted(request: Request, page: Given, asked: Doubt) -> Response:
    """Put a map to the test, with about 145 runs of the network. As a stream of events also how far it is."""
    return await answer(request, lambda job: judged(page, asked, job), "long")


def judged(page: Page, asked: Doubt, job: Job) -> Verdict | bytes:
    """From what was kept, or from the network."""
    picture = picture_of(page, asked.picture)
    which = key(page, asked, picture, "trust")
    kept = page.memory.answers.get(which)
    if kept is not None:
        return kept
    check_method(asked.method)
    found = trust(
        page.model(asked.model).model,
        picture.image,
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
    told, place, c = found.verdict, found.place, found.certainty
    others = (*found.classes, *found.noise, *found.shifts)
    return Verdict(
        belief=told.belief,
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
            fall=place.fall,
            elsewhere=place.elsewhere,
            falls=place.falls.tolist(),
            marked=packed(shrunk(place.marked[None], MASK)),
        ),
        edge=EdgeFalls(
            edge=found.edge.edge, middle=found.edge.middle, marked=found.edge.marked, decides=found.edge.decides
        ),
        classes=_likes(found.classes),
        noise=_likes(found.noise),
        shifts=_likes(found.shifts),
        band=_known(lowest((*found.noise, *found.shifts))),
        maps=packed(shrunk(torch.stack([one.map for one in others]), SMALL)) if others else None,
        seen=address(to_image(found.seen)),
        blurred=address(to_image(found.blurred)),
        rules=TrustRules(level=LEVEL, hopeless=HOPELESS, steady=STEADY),
    )


def _likes(found: Sequence[Likeness]) -> list[AlikeMap]:
    return [AlikeMap(name=one.name, correlation=_known(one.correlation)) for one in found]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
