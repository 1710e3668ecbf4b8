"""POST /api/trust: whether the map can be trusted. The verdict as text, and all numbers behind it."""

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
"""The longer side of the highlighted region, in cells."""
SMALL = 32
"""The longer side, in cells, of the maps in the comparison."""


class Certain(Schema):
    """The distribution of the model's probabilities.

    Attributes:
        margin: The difference to the second most probable class.
        choices: The perplexity: the number of equally probable classes with the same entropy.
        unsure: The normalised entropy, in [0, 1].
        guessing: Whether the prediction counts as a guess.
    """

    probability: float
    margin: float
    choices: float
    classes: int
    unsure: float
    guessing: bool


class PlaceFalls(Schema):
    """The drop in log-probability, in nats, when the highlighted region is blurred.

    Attributes:
        falls: The drops at all positions; the first is that of the region itself.
        marked: The blurred region, from 0 to 1, on the network input.
    """

    p: float
    fall: float
    elsewhere: float
    falls: list[float]
    marked: EncodedMap


class EdgeFalls(Schema):
    """The drop in log-probability, in nats, when the border or the middle of the image is blurred.

    `marked`: the fraction of the map that lies in the border.
    """

    edge: float
    middle: float
    marked: float
    decides: bool


class AlikeMap(Schema):
    """Rank correlation with another map; null for a constant map."""

    name: str
    correlation: float | None


class TrustRules(Schema):
    """The thresholds of the verdict: two levels of p, and the minimum correlation with maps of perturbed copies."""

    level: float
    hopeless: float
    steady: float


class Verdict(Schema):
    """The verdict on one map.

    Attributes:
        classes: Similarity to the maps of other classes.
        noise: Similarity to the maps of copies with noise.
        shifts: Similarity to the maps of shifted copies.
        band: The lowest similarity of a copy; maps of other classes should be below it.
        maps: Those maps, reduced, in this order, on the network input; null if there are none.
        seen: The network input as a data URI.
        blurred: The network input with the highlighted region blurred, as a data URI.
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
    """Test a map, with about 145 runs of the network. A stream includes progress events."""
    return await answer(request, lambda job: judged(page, asked, job), "long")


def judged(page: Page, asked: MapRequest, job: Job) -> Verdict | bytes:
    """Return the response from the cache, or compute it."""
    image = image_of(page, asked.picture)
    which = key(page, asked, image, "trust")
    kept = page.memory.answers.get(which)
    if kept is not None:
        return kept
    check_method(asked.method)
    verdict_result = trust(
        page.model(asked.model).model,
        image.image,
        method=asked.method,
        layer=asked.layer,
        target=asked.target,
        progress=job.tick,
    )
    body = verdict_of(verdict_result).model_dump_json().encode()
    page.memory.answers.put(which, body)
    return body


def verdict_of(found: Trust) -> Verdict:
    """Return the response for a result of `camlucida.trust`."""
    verdict, place, c = found.verdict, found.position_test, found.confidence
    others = (*found.classes, *found.noise, *found.shifts)
    return Verdict(
        belief=verdict.level,
        reasons=list(verdict.reasons),
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
