"""The tab Compare: maps of one image by several methods, at several layers, for several classes, of several models.

Where a combination does not fit, such as attention rollout on a network without attention, a sentence takes the place
of the map, and the rest of the grid is complete. Maps of all models are compared on the image, because their grids
differ.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response
from numpy.typing import NDArray
from pydantic import Field

from camlucida.app.app_state import Page
from camlucida.app.images import StoredImage
from camlucida.app.jobs import Job, answer
from camlucida.app.map_batch import Asked, Found, Gathering, asked_for, is_quick
from camlucida.app.model_entry import Served
from camlucida.app.resolve_targets import goals_of, layers_of
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.routes.explain import MAPS
from camlucida.app.schemas import EncodedMap, ImageId, MapOut, Name, Place, PredictionOut, Schema, Score, packed
from camlucida.attribution import map_comparison
from camlucida.attribution.explain_request import predict_scores, top_predictions
from camlucida.errors import MethodError
from camlucida.features.common import shrink_geometry, shrink_image
from camlucida.maps import to_image_grid

router = APIRouter(tags=["comparing"])

RANKED = 512
"""The longer side, in pixels, of the image on which maps are ranked."""
RANKS = 8_000_000
"""Maximum number of values that are ranked for one response; many maps are ranked on a smaller image."""
DRAWN = 256
"""The longer side of the disagreement map, in pixels."""


class Comparing(Schema):
    """What to compare.

    Attributes:
        picture: The id of a sample or of an uploaded image.
        models: Models of the app; the first one if not given.
        methods: Methods by name, optionally with combinators.
        layers: Layer names; each model is explained at those it has, or at its default layer if it has none of them.
        targets: "predicted", "runner-up", "third", "top3" for all three; class indices or names of the first model (in
            another model the class is found by its name), "A rather than B", "not A".
        score: The score of a class.
    """

    picture: ImageId
    models: Annotated[list[Name], Field(max_length=8)] = []
    methods: Annotated[list[Name], Field(min_length=1, max_length=48)]
    layers: Annotated[list[Name], Field(max_length=64)] = []
    targets: Annotated[list[Name | int], Field(max_length=16)] = []
    score: Score = "logit"


class ResolvedTarget(Schema):
    """A target as requested, and its meaning for the model. `same`: the earlier target with the same class."""

    key: str
    name: str
    index: int | None
    same: str | None = None


class ModelResult(Schema):
    """The prediction of one model, and the layers and targets for which it is explained."""

    model: str
    place: Place
    predictions: list[PredictionOut]
    layers: list[str]
    targets: list[ResolvedTarget]


class Cell(Schema):
    """One cell of the grid: a map, the reason why there is none, or neither if it is pending.

    Attributes:
        method: None if the error applies to all methods.
        layer: None if the method uses no layer, or fuses all of them.
        target: None if the map is the same for every class.
    """

    model: str
    method: str | None
    layer: str | None
    target: str | None
    map: MapOut | None = None
    error: str | None = None


class Expected(Schema):
    """Sent first for each model: its prediction, and the cells to expect."""

    opinion: ModelResult
    cells: list[Cell]


class Cells(Schema):
    """Sent as they are computed: all cells of some methods of one model."""

    cells: list[Cell]


class Disagreement(Schema):
    """Where the maps differ: their standard deviation after scaling each by its maximum, from 0 to 0.5."""

    map: EncodedMap
    place: Place


class Comparison(Schema):
    """All maps that could be computed, and their similarity.

    Attributes:
        cells: Ordered by model, then method, target and layer.
        correlation: Spearman's rank correlation of every pair of maps, in the order of the cells; null entries for
            constant maps; null if there are fewer than two maps.
        seconds: The duration of the computation.
    """

    picture: str
    name: str
    models: list[ModelResult]
    cells: list[Cell]
    correlation: list[list[float | None]] | None
    disagreement: Disagreement | None
    seconds: float


@router.post("/compare", responses={200: {"model": Comparison}})
async def compared(request: Request, page: AppDep, asked: Comparing) -> Response:
    """Compare maps of one image. With `Accept: text/event-stream` the maps are sent as they are computed.

    Events: `expected` for each model, then `cells`, with `progress` between them.
    """
    methods, _ = asked_for(asked.methods)
    quick = all(is_quick(method) for method in methods)
    return await answer(request, lambda job: made(page, asked, job), "quick" if quick else "long")


def made(page: Page, asked: Comparing, job: Job) -> Comparison:
    """Compute the maps model by model, then compare all of them."""
    began = time.perf_counter()
    image = image_of(page, asked.picture)
    methods, unknown = asked_for(asked.methods)
    models = [page.model(name) for name in dict.fromkeys(asked.models)] or [page.model(None)]
    turns = [_turn(page, served, image, asked, unknown) for served in models]
    count = sum(len(turn.gathering.places(method)) for turn in turns for method in methods)
    if count > MAPS:
        raise MethodError(f"{count} maps at once are too many for a page; at most {MAPS}.")
    for turn in turns:
        job.send("expected", Expected(opinion=turn.opinion, cells=turn.expected(methods)))
    found = [(turn, one) for at, turn in enumerate(turns) for one in turn.found(methods, job, at, len(turns))]
    maps = [one for _, one in found if one.map is not None]
    return Comparison(
        picture=image.id,
        name=image.name,
        models=[turn.opinion for turn in turns],
        cells=[turn.cell(one) for turn, one in found],
        correlation=_correlation(maps, image),
        disagreement=_disagreement(maps, image),
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True, eq=False)
class _Turn:
    """One model's part of the response. `faults` are the errors of unknown methods, layers and targets."""

    opinion: ModelResult
    gathering: Gathering
    faults: list[Found]

    def expected(self, methods: Sequence[Asked]) -> list[Cell]:
        """Return the pending cells and the errors."""
        come = [
            Found(method.name, layer, target) for method in methods for layer, target in self.gathering.places(method)
        ]
        return [self.cell(one) for one in (*come, *self.faults)]

    def found(self, methods: Sequence[Asked], job: Job, at: int, turns: int) -> list[Found]:
        """Compute all maps in the order of the methods; maps are sent as they are computed."""
        by_method: dict[str | None, list[Found]] = {method.name: [] for method in methods}
        for group in self.gathering.maps(methods, lambda done, total: job.tick(at * total + done, turns * total)):
            for one in group:
                by_method[one.method].append(one)
            job.send("cells", Cells(cells=[self.cell(one) for one in group]))
        return [*(one for found in by_method.values() for one in found), *self.faults]

    def cell(self, one: Found) -> Cell:
        """Return a map as it is sent."""
        return Cell(
            model=self.opinion.model,
            method=one.method,
            layer=one.layer,
            target=one.target,
            map=one.explained,
            error=one.error,
        )


def _turn(page: Page, served: Served, image: StoredImage, asked: Comparing, unknown: list[Found]) -> _Turn:
    """Return the prediction of a model, and the layers and targets of the request that it has."""
    model, first = served.model, page.model(asked.models[0] if asked.models else None).model
    scores = predict_scores(model, image.image)
    inputs, geometry = model.preprocessing(image.image)
    layers, no_layers = layers_of(model, inputs, asked.layers)
    named = bool(asked.layers and layers)
    if len(asked.models) > 1:  # names that this model does not have may belong to another one
        layers, no_layers = (layers, {}) if layers else layers_of(model, inputs, [])
    goals, no_goals = goals_of(model, scores, asked.targets or ["predicted"], first.labels)
    opinion = ModelResult(
        model=served.name,
        place=Place.of(geometry),
        predictions=[PredictionOut.of(p) for p in top_predictions(scores, model.labels)],
        layers=layers,
        targets=[ResolvedTarget(key=goal.key, name=goal.name, index=goal.index, same=goal.same) for goal in goals],
    )
    different = [goal for goal in goals if goal.same is None]
    faults = [
        *unknown,
        *(Found(None, name or None, None, error=why) for name, why in no_layers.items()),
        *(Found(None, None, key, error=why) for key, why in no_goals.items()),
    ]
    return _Turn(opinion, Gathering(page, served, image, layers, named, different, asked.score), faults)


def _correlation(maps: Sequence[Found], image: StoredImage) -> list[list[float | None]] | None:
    if len(maps) < 2:
        return None
    longest = min(RANKED, math.isqrt(RANKS // len(maps)))
    table = map_comparison.rank_correlation(_landed(maps, image, longest))
    return [[None if v != v else float(v) for v in row] for row in table]


def _disagreement(maps: Sequence[Found], image: StoredImage) -> Disagreement | None:
    """Return the disagreement over the region that all models evaluate, and its position in the image."""
    if len(maps) < 2:
        return None
    disagreement_map = map_comparison.disagreement(_landed(maps, image, DRAWN))
    seen = ~np.isnan(disagreement_map)
    if not seen.any():
        return None
    ys, xs = np.nonzero(seen)
    top, bottom, left, right = int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1
    part = disagreement_map[top:bottom, left:right]
    (width, height), (rows, columns) = image.image.size, disagreement_map.shape
    return Disagreement(
        map=packed(torch.from_numpy(np.ascontiguousarray(part))),
        place=Place(
            original=(width, height),
            input=(right - left, bottom - top),
            scale=(columns / width, rows / height),
            offset=(-left, -top),
        ),
    )


def _landed(maps: Sequence[Found], image: StoredImage, longest: int) -> list[NDArray[np.float32]]:
    """Map all maps to the image, whose longer side is at most `longest`; NaN outside a network's input."""
    shown = shrink_image(image.image, longest)
    return [
        to_image_grid(one.map, shrink_geometry(one.geometry, shown)).numpy()
        for one in maps
        if one.map is not None and one.geometry is not None
    ]
