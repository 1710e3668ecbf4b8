"""The tab Compare: maps of one image by several methods, at several layers, for several classes, of several models.

Where a combination does not fit, such as attention rollout on a network without attention, an error is returned
instead of the map, and the rest of the grid is complete. Maps of all models are compared on the image, because their
grids differ.
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
from torch import Tensor

from camlucida.app.app_state import Page
from camlucida.app.image_targets import ASKS_FIRST
from camlucida.app.images import StoredImage
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.map_batch import AnyMethod, MapBatch, MapResult, find_methods
from camlucida.app.model_entry import Served
from camlucida.app.request_limits import MAX_MAPS
from camlucida.app.resolve_targets import layers_of, resolve_targets
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.schemas import (
    EncodedMap,
    GeometryOut,
    ImageId,
    MapOut,
    Name,
    PredictionOut,
    Question,
    Schema,
    Score,
    packed,
)
from camlucida.attribution import map_comparison
from camlucida.attribution.bind_targets import bind_targets
from camlucida.attribution.method_choice import is_quick
from camlucida.attribution.predictions import predict_scores, top_predictions
from camlucida.errors import MethodError, TargetError
from camlucida.features.common import shrink_geometry, shrink_image
from camlucida.maps import to_image_grid
from camlucida.models.model import Model
from camlucida.opaque_networks import has_layers

router = APIRouter(tags=["compare"])

RANKED_PX = 512
"""The longer side, in pixels, of the image on which maps are ranked."""
MAX_RANKED_VALUES = 8_000_000
"""Maximum number of values that are ranked for one response; many maps are ranked on a smaller image."""
DISAGREEMENT_PX = 256
"""The longer side of the disagreement map, in pixels."""


class CompareRequest(Schema):
    """What to compare.

    Attributes:
        image: The id of a sample or of an uploaded image.
        models: Models of the app; the first one if not given.
        question: The question about the image, for those models that answer questions.
        methods: Methods by name, optionally with combinators.
        layers: Layer names; each model is explained at those it has, or at its default layer if it has none of them.
        targets: "predicted", "runner-up", "third", "top3" for all three; class indices or names of the first model (in
            another model the class is found by its name), "A rather than B", "not A"; boxes, regions, texts and words
            as for POST /api/explain.
        score: The score of a class.
    """

    image: ImageId
    models: Annotated[list[Name], Field(max_length=8)] = []
    question: Question | None = None
    methods: Annotated[list[Name], Field(min_length=1, max_length=48)]
    layers: Annotated[list[Name], Field(max_length=64)] = []
    targets: Annotated[list[Name | int], Field(max_length=16)] = []
    score: Score = "logit"


class TargetOut(Schema):
    """A target as requested, and its meaning for the model. `same`: the earlier target with the same class."""

    key: str
    name: str
    index: int | None
    same: str | None = None


class ModelResult(Schema):
    """The prediction of one model, and the layers and targets for which it is explained."""

    model: str
    geometry: GeometryOut
    predictions: list[PredictionOut]
    layers: list[str]
    targets: list[TargetOut]


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

    result: ModelResult
    cells: list[Cell]


class Cells(Schema):
    """Sent as they are computed: all cells of some methods of one model."""

    cells: list[Cell]


class Disagreement(Schema):
    """Where the maps differ: their standard deviation after scaling each by its maximum, from 0 to 0.5."""

    map: EncodedMap
    geometry: GeometryOut


class Comparison(Schema):
    """All maps that could be computed, and their similarity.

    Attributes:
        cells: Ordered by model, then method, target and layer.
        correlation: Spearman's rank correlation of every pair of maps, in the order of the cells; null entries for
            constant maps; null if there are fewer than two maps.
        seconds: The duration of the computation.
    """

    image: str
    name: str
    models: list[ModelResult]
    cells: list[Cell]
    correlation: list[list[float | None]] | None
    disagreement: Disagreement | None
    seconds: float


@router.post("/compare", responses={200: {"model": Comparison}})
async def compare(request: Request, page: AppDep, params: CompareRequest) -> Response:
    """Compare maps of one image. With `Accept: text/event-stream` the maps are sent as they are computed.

    Events: `expected` for each model, then `cells`, with `progress` between them.
    """
    methods, _ = find_methods(params.methods)
    quick = all(is_quick(method) for method in methods)
    return await answer(request, lambda job: _compare(page, params, job), "quick" if quick else "long")


def _compare(page: Page, params: CompareRequest, job: Job) -> Comparison:
    """Compute the maps model by model, then compare all of them."""
    start = time.perf_counter()
    image = image_of(page, params.image)
    methods, unknown = find_methods(params.methods)
    models = [_asked(page, name, params) for name in dict.fromkeys(params.models)] or [_asked(page, None, params)]
    parts = [_model_part(page, served, image, params, unknown) for served in models]
    count = sum(len(part.batch.layers_and_targets(method)) for part in parts for method in methods)
    if count > MAX_MAPS:
        raise MethodError(
            f"{count:,} maps were requested; the app computes at most {MAX_MAPS} at once. Select fewer methods, "
            "layers, classes or models."
        )
    for part in parts:
        job.send("expected", Expected(result=part.result, cells=part.expected(methods)))
    results = [(part, r) for i, part in enumerate(parts) for r in part.compute(methods, job, i, len(parts))]
    maps = [result for _, result in results if result.map is not None]
    return Comparison(
        image=image.id,
        name=image.name,
        models=[part.result for part in parts],
        cells=[part.cell(result) for part, result in results],
        correlation=_correlation(maps, image),
        disagreement=_disagreement(maps, image),
        seconds=time.perf_counter() - start,
    )


@dataclass(frozen=True, eq=False)
class _ModelPart:
    """One model's part of the response. `errors` are the errors of unknown methods, layers and targets."""

    result: ModelResult
    batch: MapBatch
    errors: list[MapResult]

    def expected(self, methods: Sequence[AnyMethod]) -> list[Cell]:
        """Return the pending cells and the errors."""
        pending = [
            MapResult(method.name, layer, target)
            for method in methods
            for layer, target in self.batch.layers_and_targets(method)
        ]
        return [self.cell(result) for result in (*pending, *self.errors)]

    def compute(self, methods: Sequence[AnyMethod], job: Job, index: int, n_parts: int) -> list[MapResult]:
        """Compute all maps in the order of the methods; maps are sent as they are computed."""
        by_method: dict[str | None, list[MapResult]] = {method.name: [] for method in methods}
        for group in self.batch.maps(methods, lambda done, total: job.progress(index * total + done, n_parts * total)):
            for result in group:
                by_method[result.method].append(result)
            job.send("cells", Cells(cells=[self.cell(result) for result in group]))
        return [*(result for results in by_method.values() for result in results), *self.errors]

    def cell(self, cell: MapResult) -> Cell:
        """Return a map as it is sent."""
        return Cell(
            model=self.result.model,
            method=cell.method,
            layer=cell.layer,
            target=cell.target,
            map=cell.map_out,
            error=cell.error,
        )


def _model_part(
    page: Page, served: Served, image: StoredImage, params: CompareRequest, unknown: list[MapResult]
) -> _ModelPart:
    """Return the prediction of a model, and the layers and targets of the request that it has."""
    model, first = served.model, _asked(page, params.models[0] if params.models else None, params).model
    scores, predictions = _predicted(model, image)
    inputs, geometry = model.preprocessing(image.image)
    layers, layer_errors = layers_of(served.probed, inputs, params.layers)
    named = bool(params.layers and layers)
    if len(params.models) > 1:  # names that this model does not have may belong to another one
        layers, layer_errors = (layers, {}) if layers else layers_of(served.probed, inputs, [])
    if not has_layers(model.network) and not any(m.needs_layer for m in find_methods(params.methods)[0]):
        layer_errors = {name: error for name, error in layer_errors.items() if name}  # no default layer is needed
    has_own = model.image_targets is not None
    resolved, target_errors = resolve_targets(
        model,
        scores,
        params.targets or ["predicted"],
        first.labels,
        (lambda key: bind_targets(model, inputs, [key], geometry)) if has_own else None,
    )
    result = ModelResult(
        model=served.name,
        geometry=GeometryOut.of(geometry),
        predictions=predictions,
        layers=layers,
        targets=[TargetOut(key=t.key, name=t.name, index=t.index, same=t.same) for t in resolved],
    )
    distinct = [target for target in resolved if target.same is None]
    errors = [
        *unknown,
        *(MapResult(None, name or None, None, error=error) for name, error in layer_errors.items()),
        *(MapResult(None, None, key, error=error) for key, error in target_errors.items()),
    ]
    return _ModelPart(result, MapBatch(page, served, image, layers, named, distinct, params.score), errors)


def _asked(page: Page, name: str | None, params: CompareRequest) -> Served:
    """Return a model of the request, with the question if it answers one."""
    served = page.model(name)
    targets = served.model.image_targets
    return page.model(name, params.question) if targets is not None and targets.kind == "question" else served


def _predicted(model: Model, image: StoredImage) -> tuple[Tensor | None, list[PredictionOut]]:
    """Return the class scores of the whole image `(k,)` and the most probable classes.

    Networks that compare an image with a text, or write one, have class scores for a text or a word only: None.
    """
    targets = model.image_targets
    if targets is not None and targets.kind in ASKS_FIRST:
        return None, []
    try:
        scores, activation = predict_scores(model, image.image)
    except TargetError:
        if targets is None:
            raise
        return None, []
    return scores, [PredictionOut.of(p) for p in top_predictions(scores, model.labels, activation)]


def _correlation(maps: Sequence[MapResult], image: StoredImage) -> list[list[float | None]] | None:
    if len(maps) < 2:
        return None
    longest = min(RANKED_PX, math.isqrt(MAX_RANKED_VALUES // len(maps)))
    table = map_comparison.rank_correlation(_on_image_grid(maps, image, longest))
    return [[None if v != v else float(v) for v in row] for row in table]


def _disagreement(maps: Sequence[MapResult], image: StoredImage) -> Disagreement | None:
    """Return the disagreement over the region that all models evaluate, and its position in the image."""
    if len(maps) < 2:
        return None
    disagreement_map = map_comparison.disagreement(_on_image_grid(maps, image, DISAGREEMENT_PX))
    valid = ~np.isnan(disagreement_map)
    if not valid.any():
        return None
    ys, xs = np.nonzero(valid)
    top, bottom, left, right = int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1
    cropped = disagreement_map[top:bottom, left:right]
    (width, height), (rows, columns) = image.image.size, disagreement_map.shape
    return Disagreement(
        map=packed(torch.from_numpy(np.ascontiguousarray(cropped))),
        geometry=GeometryOut(
            original=(width, height),
            input=(right - left, bottom - top),
            scale=(columns / width, rows / height),
            offset=(-left, -top),
        ),
    )


def _on_image_grid(maps: Sequence[MapResult], image: StoredImage, longest: int) -> list[NDArray[np.float32]]:
    """Map all maps to the image, whose longer side is at most `longest`; NaN outside a network's input."""
    reduced_image = shrink_image(image.image, longest)
    return [
        to_image_grid(result.map, shrink_geometry(result.geometry, reduced_image)).numpy()
        for result in maps
        if result.map is not None and result.geometry is not None
    ]
