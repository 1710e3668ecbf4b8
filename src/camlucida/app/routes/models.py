"""A model of the app in detail: all of its layers with a grid, and which methods run on it and how long they take."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from camlucida.app.app_state import Page
from camlucida.app.cache_keys import model_key
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job, encoded_body
from camlucida.app.method_costs import method_costs
from camlucida.app.model_entry import Served
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.schemas import Name, Schema
from camlucida.attribution.layer_summary import layers as summarise
from camlucida.opaque_networks import has_layers

router = APIRouter(tags=["models"])


class LayerOut(Schema):
    """A layer whose output has a spatial grid, which can be explained.

    Attributes:
        name: The name of the module, accepted as a layer.
        type: The class name of the module.
        channels: The number of channels.
        grid: (height, width).
        geometry: How it is known that positions of the output lie in the image as in a grid.
        is_convolution: Whether the module is a convolution.
        is_recommended: Whether the layer is a stage or block that is suitable for explanations.
    """

    name: str
    type: str
    channels: int
    grid: tuple[int, int]
    geometry: Literal["convolution", "measured", "not verified"]
    is_convolution: bool
    is_recommended: bool


class Layers(Schema):
    """All layers of a model that can be explained, in the order of the forward pass."""

    model: str
    layers: list[LayerOut]


class MethodCostOut(Schema):
    """A method with a model.

    Attributes:
        name: The method.
        reason: Why it does not run on the model; "" if it does.
        seconds: About how long one map takes; null if the method does not run.
    """

    name: str
    reason: str
    seconds: float | None


class MethodCosts(Schema):
    """Every method of the registry with a model."""

    model: str
    methods: list[MethodCostOut]


ModelQuery = Annotated[Name | None, Query()]


@router.get("/layers", responses={200: {"model": Layers}})
async def layers(request: Request, page: AppDep, model: ModelQuery = None) -> Response:
    """Return all layers of a model with a spatial grid, and how their grids are known."""
    return await answer(request, lambda job: _layers(page, page.model(model)))


@router.get("/methods", responses={200: {"model": MethodCosts}})
async def costs(request: Request, page: AppDep, model: ModelQuery = None) -> Response:
    """Return which methods run on a model, and about how long a map takes; measured with a few runs of the network."""
    return await answer(request, lambda job: _costs(page, page.model(model), job), "long")


def _layers(page: Page, served: Served) -> bytes:
    key = ("layers", *model_key(served))
    if (cached := page.caches.responses.get(key)) is not None:
        return cached
    rows = summarise(served.probed) if has_layers(served.model.network) else ()
    result = Layers(
        model=served.name,
        layers=[
            LayerOut(
                name=row.name,
                type=row.type,
                channels=max(1, math.prod(row.output_shape) // math.prod(row.grid)),
                grid=(row.grid[0], row.grid[1]),
                geometry=row.geometry,
                is_convolution=row.is_convolution,
                is_recommended=row.is_recommended,
            )
            for row in rows
            if row.grid is not None
            and len(row.grid) == 2
            and min(row.grid) > 1
            and row.geometry is not None
            and row.geometry != "contradicted"
        ],
    )
    return _kept(page, key, result)


def _costs(page: Page, served: Served, job: Job) -> bytes:
    key = ("methods", *model_key(served))
    if (cached := page.caches.responses.get(key)) is not None:
        return cached
    result = MethodCosts(
        model=served.name,
        methods=[
            MethodCostOut(name=cost.name, reason=cost.reason, seconds=cost.seconds)
            for cost in method_costs(served, job.progress)
        ],
    )
    return _kept(page, key, result)


def _kept(page: Page, key: tuple[object, ...], result: Schema) -> bytes:
    body = encoded_body(result)
    page.caches.responses.put(key, body)
    return body
