"""The tab Compare: maps of one picture by several methods, at several layers, for several classes, of several models.

What does not fit, such as attention rollout on a network without attention, has a sentence in place of its map; the
rest of the grid is there. Maps of all models are compared on the picture, where their grids do not matter.
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
from camlucida.attribution.explain import predict_scores, top_predictions
from camlucida.errors import MethodError
from camlucida.features.common import shrink_geometry, shrink_image
from camlucida.maps import to_image_grid

router = APIRouter(tags=["comparing"])

RANKED = 512
"""The longest side of the picture, in pixels, on which maps are ranked; as large as most photographs here."""
RANKS = 8_000_000
"""The most values that are ranked for one answer; many maps are ranked on a smaller picture."""
DRAWN = 256
"""The longest side of the map of disagreement, in pixels."""


class Comparing(Schema):
    """What to compare.

    picture   the id of a sample, or of a picture given before
    models    of the page's; the first if not given
    methods   by name, with combinators round them or not
    layers    names; each model is asked at those it has. None, or none that it has: its default layer
    targets   "predicted", "runner-up", "third", "top3" for these three; indices or names of the first model's classes
              (another model's class is found by the name), "A rather than B", "not A"
    score     what a class is scored by
    """

    picture: ImageId
    models: Annotated[list[Name], Field(max_length=8)] = []
    methods: Annotated[list[Name], Field(min_length=1, max_length=48)]
    layers: Annotated[list[Name], Field(max_length=64)] = []
    targets: Annotated[list[Name | int], Field(max_length=16)] = []
    score: Score = "logit"


class ResolvedTarget(Schema):
    """A target as it was asked for, and what it is to the model. `same`: the earlier target that means the same."""

    key: str
    name: str
    index: int | None
    same: str | None = None


class ModelResult(Schema):
    """What one model says of the picture, and what can be asked of it: layers and targets."""

    model: str
    place: Place
    predictions: list[PredictionOut]
    layers: list[str]
    targets: list[ResolvedTarget]


class Cell(Schema):
    """One place of the grid: a map; or why there is none; or neither, where it is still to come.

    No layer: the method takes none, or fuses all. No target: the map is the same for every class. No method: the
    sentence is about all of them.
    """

    model: str
    method: str | None
    layer: str | None
    target: str | None
    map: MapOut | None = None
    error: str | None = None


class Expected(Schema):
    """Sent first: what a model says, and the cells that are to come."""

    opinion: ModelResult
    cells: list[Cell]


class Cells(Schema):
    """Sent as they come: all cells of some methods of one model."""

    cells: list[Cell]


class Disagreement(Schema):
    """Where the maps differ: the standard deviation over them, each scaled by its maximum; from 0 to 0.5."""

    map: EncodedMap
    place: Place


class Comparison(Schema):
    """Every map that could be had, and how alike they are.

    cells         models outermost, then methods, targets, layers
    correlation   Spearman's, of every cell that has a map with every other, in their order; null for a map of one
                  value; None where fewer than two have one
    seconds       what the networks, the methods and the comparison took
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
    """Compare maps of one picture. With `Accept: text/event-stream` the maps come as they are made.

    Events: `expected` for each model, then `cells`, with `progress` between them.
    """
    methods, _ = asked_for(asked.methods)
    quick = all(is_quick(method) for method in methods)
    return await answer(request, lambda job: made(page, asked, job), "quick" if quick else "long")


def made(page: Page, asked: Comparing, job: Job) -> Comparison:
    """One model after the other; then all maps beside each other."""
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
    """One model's part of the answer. `faults` are sentences: methods, layers and targets that are none."""

    opinion: ModelResult
    gathering: Gathering
    faults: list[Found]

    def expected(self, methods: Sequence[Asked]) -> list[Cell]:
        """What is to come, and what will not."""
        come = [
            Found(method.name, layer, target) for method in methods for layer, target in self.gathering.places(method)
        ]
        return [self.cell(one) for one in (*come, *self.faults)]

    def found(self, methods: Sequence[Asked], job: Job, at: int, turns: int) -> list[Found]:
        """All of it, in the methods' order; maps are sent as they come."""
        made: dict[str | None, list[Found]] = {method.name: [] for method in methods}
        for group in self.gathering.maps(methods, lambda done, total: job.tick(at * total + done, turns * total)):
            for one in group:
                made[one.method].append(one)
            job.send("cells", Cells(cells=[self.cell(one) for one in group]))
        return [*(one for found in made.values() for one in found), *self.faults]

    def cell(self, one: Found) -> Cell:
        """As it is sent."""
        return Cell(
            model=self.opinion.model,
            method=one.method,
            layer=one.layer,
            target=one.target,
            map=one.explained,
            error=one.error,
        )


def _turn(page: Page, served: Served, image: StoredImage, asked: Comparing, unknown: list[Found]) -> _Turn:
    """What a model says without a map, and what the layers and targets are to it."""
    model, first = served.model, page.model(asked.models[0] if asked.models else None).model
    scores = predict_scores(model, image.image)
    inputs, geometry = model.preprocessing(image.image)
    layers, no_layers = layers_of(model, inputs, asked.layers)
    named = bool(asked.layers and layers)
    if len(asked.models) > 1:  # a name that this model does not know is another's
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
    """The part of it that all models saw, and where that lies on the picture."""
    if len(maps) < 2:
        return None
    found = map_comparison.disagreement(_landed(maps, image, DRAWN))
    seen = ~np.isnan(found)
    if not seen.any():
        return None
    ys, xs = np.nonzero(seen)
    top, bottom, left, right = int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1
    part = found[top:bottom, left:right]
    (width, height), (rows, columns) = image.image.size, found.shape
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
    """All maps on the picture, at most so long; NaN where one's network did not look."""
    shown = shrink_image(image.image, longest)
    return [
        to_image_grid(one.map, shrink_geometry(one.geometry, shown)).numpy()
        for one in maps
        if one.map is not None and one.geometry is not None
    ]
