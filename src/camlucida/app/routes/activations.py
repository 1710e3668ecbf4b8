"""POST /api/channels: the channels of a layer on an image (tab Activations)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.app_state import Page
from camlucida.app.cache_keys import request_key
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.model_entry import Served
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.schemas import EncodedMap, GeometryOut, ImageId, Name, PredictionOut, Schema, Score, packed
from camlucida.features.activations import Activations, activations

router = APIRouter(tags=["activations"])

MAX_VALUES = 1 << 20
"""Maximum number of map values in one response; a layer with large maps returns fewer channels than requested."""

Order = Literal["contribution", "gradient", "activation", "channel"]


class ChannelsRequest(Schema):
    """Which channels of which layer to return.

    Attributes:
        layer: One layer; the default layer if not given.
        target: One target, as for /api/explain; the predicted class if not given.
        order: Highest first: contribution (mean gradient × mean activation), mean gradient, mean activation; or the
            channel index.
        offset: The position in that order at which the slice begins.
        count: The number of channels; fewer are returned if their maps are large.
    """

    image: ImageId
    model: Name | None = None
    layer: Name | None = None
    target: Name | int | None = None
    score: Score = "logit"
    order: Order = "contribution"
    offset: Annotated[int, Field(ge=0, le=1 << 24)] = 0
    count: Annotated[int, Field(ge=1, le=128)] = 48


class Ranks(Schema):
    """The ranks of a channel within the layer, from 1 for the highest value."""

    contribution: int
    gradient: int
    activation: int


class Channel(Schema):
    """One channel on the image.

    Attributes:
        gradient: The mean gradient of the score: the channel's Grad-CAM weight.
        contribution: Mean gradient × mean activation.
        mean: The mean activation.
        strength: The maximum activation.
    """

    channel: int
    gradient: float
    contribution: float
    mean: float
    strength: float
    ranks: Ranks


class Channels(Schema):
    """A slice of a layer's channels.

    Attributes:
        total: The number of channels of the layer.
        maps: The activations of `channels`, in that order.
        min_activation: The lowest activation of the whole layer on this image.
        max_activation: The highest activation of the whole layer on this image.
        positive: The sum of all positive contributions.
        negative: The sum of all negative contributions.
        largest: The largest absolute contribution.
        half: The smallest number of channels that hold half of `positive`.
    """

    image: str
    name: str
    geometry: GeometryOut
    predictions: list[PredictionOut]
    layer: str
    target: str
    index: int | None
    score: float
    order: Order
    total: int
    offset: int
    channels: list[Channel]
    maps: EncodedMap
    min_activation: float
    max_activation: float
    positive: float
    negative: float
    largest: float
    half: int


@router.post("/channels", responses={200: {"model": Channels}})
async def channels(request: Request, page: AppDep, params: ChannelsRequest) -> Response:
    """Return a slice of a layer's channels on an image. Only the first slice runs the network."""
    return await answer(request, lambda job: _channels(page, params, job))


def _channels(page: Page, params: ChannelsRequest, job: Job) -> Channels:
    layer_activations = _activations(page, params, job)
    order = layer_activations.ordered(params.order).order
    height, width = layer_activations.maps.shape[1:]
    count = min(params.count, max(1, MAX_VALUES // (height * width)))
    chosen = list(order[params.offset : params.offset + count])
    ranks = {by: _ranks(layer_activations.ordered(by).order) for by in ("contribution", "gradient", "activation")}
    return Channels(
        image=params.image,
        name=layer_activations.source,
        geometry=GeometryOut.of(layer_activations.geometry),
        predictions=[PredictionOut.of(p) for p in layer_activations.predictions],
        layer=layer_activations.layer,
        target=layer_activations.target,
        index=layer_activations.index,
        score=layer_activations.score,
        order=params.order,
        total=len(layer_activations),
        offset=params.offset,
        channels=[
            Channel(
                channel=c,
                gradient=float(layer_activations.gradients[c]),
                contribution=float(layer_activations.contributions[c]),
                mean=float(layer_activations.means[c]),
                strength=float(layer_activations.maps[c].max()),
                ranks=Ranks(**{by: rank_of[c] for by, rank_of in ranks.items()}),
            )
            for c in chosen
        ],
        maps=packed(layer_activations.maps[torch.tensor(chosen, dtype=torch.long)]),
        min_activation=float(layer_activations.maps.min()),
        max_activation=float(layer_activations.maps.max()),
        positive=float(layer_activations.contributions.clamp_min(0).sum()),
        negative=float(layer_activations.contributions.clamp_max(0).sum()),
        largest=float(layer_activations.contributions.abs().max()),
        half=layer_activations.n_channels_for(0.5),
    )


def _activations(page: Page, params: ChannelsRequest, job: Job) -> Activations:
    """Return the activations from the cache, or from the network."""
    served, image = page.model(params.model), image_of(page, params.image)
    layer = layer_or_default(served, params.layer)
    resolved = params.model_copy(update={"layer": repr(layer)})
    key = request_key("channels", served, image, resolved, without={"order", "offset", "count"})  # the slice
    layer_activations = page.caches.channels.get(key)
    if layer_activations is None:
        job.progress(0, 1)
        layer_activations = activations(
            served.model, image.image, layer=layer, target=params.target, score=params.score
        )
        page.caches.channels.put(key, layer_activations)
    return layer_activations


def _ranks(order: tuple[int, ...]) -> dict[int, int]:
    return {channel: rank for rank, channel in enumerate(order, start=1)}


def layer_or_default(served: Served, name: str | None) -> str | int:
    """Return the name of the layer, also for the default one, so that cached results are found by either."""
    if name is not None:
        return name
    return served.layers[-1].name if served.model.layer is None else served.model.layer
