"""POST /api/trust: whether the map can be trusted. The verdict as text, with all of its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response

from camlucida.app.app_state import Page
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.method_choice import method_for
from camlucida.app.request_limits import check_method
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.routes.trust.common import MapRequest, data_uri, key, shrunk
from camlucida.app.schemas import EncodedMap, Schema, packed
from camlucida.reliability import Trust, trust
from camlucida.reliability.similarity import ClassSimilarity
from camlucida.reliability.verdict import MAX_P, MIN_STABILITY, REJECT_P, VerdictLevel, min_correlation
from camlucida.render.resize import to_image
from camlucida.render.text import format_p

router = APIRouter()

MASK_CELLS = 112
"""The longer side of the highlighted region, in cells."""
COMPARED_CELLS = 32
"""The longer side, in cells, of the maps in the comparison."""


class ConfidenceOut(Schema):
    """The distribution of the model's probabilities; of a box or a class of a multi-label network, its own.

    Attributes:
        margin: The difference to the second most probable class.
        perplexity: The number of equally probable classes with the same entropy.
        normalized_entropy: The normalised entropy, in [0, 1].
        guessing: Whether the prediction counts as a guess.
    """

    probability: float
    margin: float
    perplexity: float
    classes: int
    normalized_entropy: float
    guessing: bool


class PositionTestOut(Schema):
    """How important the positions are at which the map is high, compared with transformed copies of the map.

    Attributes:
        p: The fraction of all transforms, the identity included, with a statistic at least as large as the map's.
        p_text: The same as text, as in the reasons.
        drop: The drop in log-probability, in nats, when the highlighted region is blurred.
        mean_drop_elsewhere: The mean drop for discs of the same area at all positions, in nats.
        statistics: The mean importance weighted by the map under every transform, in standard deviations; the first is
            that of the map itself.
        highlighted: The highlighted region, from 0 to 1, on the network input.
    """

    p: float
    p_text: str
    drop: float
    mean_drop_elsewhere: float
    statistics: list[float]
    highlighted: EncodedMap


class BorderTestOut(Schema):
    """The drop in log-probability, in nats, when the border or the middle of the image is blurred.

    `map_fraction` is the fraction of the map that lies in the border.
    """

    border: float
    middle: float
    map_fraction: float
    decides: bool


class MapSimilarityOut(Schema):
    """Rank correlation with another map; null for a constant map."""

    name: str
    correlation: float | None


class VerdictThresholds(Schema):
    """The thresholds of the verdict: two levels of p, and the minimum correlation with maps of perturbed copies."""

    max_p: float
    reject_p: float
    min_stability: float


class Verdict(Schema):
    """The verdict on one map.

    Attributes:
        classes: Similarity to the maps of other classes.
        noise: Similarity to the maps of copies with noise.
        shifts: Similarity to the maps of shifted copies.
        min_correlation: The lowest similarity of a copy; maps of other classes should be below it.
        maps: Those maps, reduced, in this order, on the network input; null if there are none.
        network_input: The network input as a data URI.
        occluded_input: The network input with the highlighted region blurred, as a data URI.
    """

    level: VerdictLevel
    reasons: list[str]
    target: str
    predicted: str
    probability: float
    confidence: ConfidenceOut
    position_test: PositionTestOut | None
    border_test: BorderTestOut
    classes: list[MapSimilarityOut]
    noise: list[MapSimilarityOut]
    shifts: list[MapSimilarityOut]
    min_correlation: float | None
    maps: EncodedMap | None
    network_input: str
    occluded_input: str
    thresholds: VerdictThresholds


@router.post("/trust", responses={200: {"model": Verdict}})
async def verdict(request: Request, page: AppDep, params: MapRequest) -> Response:
    """Test a map, with about 125 runs of the network. A stream includes progress events."""
    return await answer(request, lambda job: _cached_or_computed(page, params, job), "long")


def _cached_or_computed(page: Page, params: MapRequest, job: Job) -> Verdict | bytes:
    """Return the response from the cache, or compute it."""
    image = image_of(page, params.image)
    cache_key = key(page, params, image, "trust")
    cached = page.caches.responses.get(cache_key)
    if cached is not None:
        return cached
    served = page.model(params.model, params.question)
    method = method_for(served, params.method)
    check_method(method)
    verdict_result = trust(
        served.model,
        image.image,
        method=method,
        layer=params.layer,
        target=params.target,
        progress=job.progress,
    )
    body = verdict_of(verdict_result).model_dump_json().encode()
    page.caches.responses.put(cache_key, body)
    return body


def verdict_of(result: Trust) -> Verdict:
    """Return the response for a result of `camlucida.trust`."""
    verdict, position, c = result.verdict, result.position_test, result.confidence
    others = (*result.classes, *result.noise, *result.shifts)
    return Verdict(
        level=verdict.level,
        reasons=list(verdict.reasons),
        target=result.target,
        predicted=result.predicted,
        probability=result.probability,
        confidence=ConfidenceOut(
            probability=c.probability if c.present is None else c.present,
            margin=c.margin if c.present is None else max(0.0, 2 * c.present - 1),
            perplexity=c.choices,
            classes=c.classes,
            normalized_entropy=c.unsure,
            guessing=c.guessing,
        ),
        position_test=None
        if position is None
        else PositionTestOut(
            p=position.p,
            p_text=format_p(position.p),
            drop=position.drop,
            mean_drop_elsewhere=position.mean_drop_elsewhere,
            statistics=position.statistics.tolist(),
            highlighted=packed(shrunk(position.highlighted[None], MASK_CELLS)),
        ),
        border_test=BorderTestOut(
            border=result.border_test.edge,
            middle=result.border_test.middle,
            map_fraction=result.border_test.marked,
            decides=result.border_test.decides,
        ),
        classes=_similarities(result.classes),
        noise=_similarities(result.noise),
        shifts=_similarities(result.shifts),
        min_correlation=_known(min_correlation((*result.noise, *result.shifts))),
        maps=packed(shrunk(torch.stack([other.map for other in others]), COMPARED_CELLS)) if others else None,
        network_input=data_uri(to_image(result.input_pixels)),
        occluded_input=data_uri(to_image(result.occluded_pixels)),
        thresholds=VerdictThresholds(max_p=MAX_P, reject_p=REJECT_P, min_stability=MIN_STABILITY),
    )


def _similarities(similarities: Sequence[ClassSimilarity]) -> list[MapSimilarityOut]:
    return [MapSimilarityOut(name=s.name, correlation=_known(s.correlation)) for s in similarities]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
