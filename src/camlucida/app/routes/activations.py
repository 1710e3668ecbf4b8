"""The tab Activations: the channels of a layer on an image, and the images that activate a channel most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.app_state import Page
from camlucida.app.cache_keys import CacheKey, model_key, request_key
from camlucida.app.caches import Scan
from camlucida.app.jobs import Job, answer
from camlucida.app.model_entry import Served
from camlucida.app.routes.dependencies import AppDep, image_of
from camlucida.app.schemas import EncodedMap, ImageId, Name, Place, PredictionOut, Schema, Score, packed
from camlucida.data.dataset import sample_indices
from camlucida.data.images import Source
from camlucida.errors import CamlucidaError
from camlucida.features.activations import Activations, activations
from camlucida.features.top_images_by_channel import channel_top_images
from camlucida.targets import class_label

router = APIRouter(tags=["activations"])

SLICE = 1 << 20
"""Maximum number of map values in one response; a layer with large maps returns fewer channels than requested."""
TOP = 24
"""The number of top images per channel."""
MOST = 2000
"""Maximum number of images to search."""

Order = Literal["contribution", "gradient", "activation", "channel"]


class ChannelsQuestion(Schema):
    """Which channels to return.

    Attributes:
        layer: One layer; the default layer if not given.
        target: One target, as for /api/explain; the predicted class if not given.
        order: Highest first: contribution (mean gradient × mean activation), mean gradient, mean activation; or the
            channel index.
        offset: The position in that order at which the slice begins.
        count: The number of channels; fewer are returned if their maps are large.
    """

    picture: ImageId
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
        least: The lowest activation of the whole layer on this image.
        most: The highest activation of the whole layer on this image.
        positive: The sum of all positive contributions.
        negative: The sum of all negative contributions.
        largest: The largest absolute contribution.
        half: The smallest number of channels that hold half of `positive`.
    """

    picture: str
    name: str
    place: Place
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
    least: float
    most: float
    positive: float
    negative: float
    largest: float
    half: int


@router.post("/channels", responses={200: {"model": Channels}})
async def channels(request: Request, page: AppDep, asked: ChannelsQuestion) -> Response:
    """Return a slice of a layer's channels on an image. Only the first slice runs the network."""
    return await answer(request, lambda job: _slice(page, asked, job))


def _slice(page: Page, asked: ChannelsQuestion, job: Job) -> Channels:
    layer_activations = _activations(page, asked, job)
    shown = layer_activations.ordered(asked.order).order
    height, width = layer_activations.maps.shape[1:]
    count = min(asked.count, max(1, SLICE // (height * width)))
    chosen = list(shown[asked.offset : asked.offset + count])
    ranks = {by: _ranks(layer_activations.ordered(by).order) for by in ("contribution", "gradient", "activation")}
    return Channels(
        picture=asked.picture,
        name=layer_activations.source,
        place=Place.of(layer_activations.geometry),
        predictions=[PredictionOut.of(p) for p in layer_activations.predictions],
        layer=layer_activations.layer,
        target=layer_activations.target,
        index=layer_activations.index,
        score=layer_activations.score,
        order=asked.order,
        total=len(layer_activations),
        offset=asked.offset,
        channels=[
            Channel(
                channel=c,
                gradient=float(layer_activations.gradients[c]),
                contribution=float(layer_activations.contributions[c]),
                mean=float(layer_activations.means[c]),
                strength=float(layer_activations.maps[c].max()),
                ranks=Ranks(**{by: places[c] for by, places in ranks.items()}),
            )
            for c in chosen
        ],
        maps=packed(layer_activations.maps[torch.tensor(chosen, dtype=torch.long)]),
        least=float(layer_activations.maps.min()),
        most=float(layer_activations.maps.max()),
        positive=float(layer_activations.contributions.clamp_min(0).sum()),
        negative=float(layer_activations.contributions.clamp_max(0).sum()),
        largest=float(layer_activations.contributions.abs().max()),
        half=layer_activations.n_channels_for(0.5),
    )


def _activations(page: Page, asked: ChannelsQuestion, job: Job) -> Activations:
    """Return the activations from the cache, or from the network."""
    served, image = page.model(asked.model), image_of(page, asked.picture)
    layer = _layer(served, asked.layer)
    meant = asked.model_copy(update={"layer": repr(layer)})
    key = request_key("channels", served, image, meant, without={"order", "offset", "count"})  # the slice
    kept = page.memory.channels.get(key)
    if kept is None:
        job.tick(0, 1)
        kept = activations(served.model, image.image, layer=layer, target=asked.target, score=asked.score)
        page.memory.channels.put(key, kept)
    return kept


def _ranks(order: tuple[int, ...]) -> dict[int, int]:
    return {channel: rank for rank, channel in enumerate(order, start=1)}


def _layer(served: Served, name: str | None) -> str | int:
    """Return the name of the layer, also for the default one, so that cached results are found by either."""
    if name is not None:
        return name
    return served.layers[-1].name if served.model.layer is None else served.model.layer


class TopQuestion(Schema):
    """Which images activate a channel most.

    Attributes:
        pictures: The number of images of the data set to search, selected by `seed`; all if it has fewer.
    """

    model: Name | None = None
    layer: Name | None = None
    channel: Annotated[int, Field(ge=0, le=1 << 24)]
    pictures: Annotated[int, Field(ge=1, le=MOST)] = 200
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0


class TopImage(Schema):
    """An image, and its activation of the channel.

    Attributes:
        id: The id of the sample.
        label: Its class in the data set.
        strength: The channel's maximum activation on it.
    """

    id: str
    name: str
    label: str | None
    strength: float
    place: Place
    map: EncodedMap
    predicted: PredictionOut


class Top(Schema):
    """The images that activate a channel most, highest activation first.

    Attributes:
        seen: The number of images that were evaluated.
        failed: The number of images that could not be read.
        count: The number of images of the data set.
    """

    layer: str
    channel: int
    total: int
    seen: int
    failed: int
    count: int
    pictures: list[TopImage]


@router.post("/channels/top", responses={200: {"model": Top}})
async def top(request: Request, page: AppDep, asked: TopQuestion) -> Response:
    """Return the images that activate a channel most.

    All channels of a layer are searched in one pass, which takes long; with `Accept: text/event-stream` the response
    includes progress events.
    """
    known = page.memory.scans.get(_key(page, asked)) is not None
    return await answer(request, lambda job: _top(page, asked, job), "quick" if known else "long")


def _top(page: Page, asked: TopQuestion, job: Job) -> Top:
    key = _key(page, asked)
    scan = page.memory.scans.get(key)
    if scan is None:
        scan = _scanned(page, asked, job)
        page.memory.scans.put(key, scan)
    return Top(
        layer=scan.found.layer,
        channel=asked.channel,
        total=scan.found.channels,
        seen=scan.found.n_images,
        failed=len(scan.found.failed) + scan.missed,
        count=len(page.data),
        pictures=list(_images(page, scan, asked.channel)),
    )


def _images(page: Page, scan: Scan, channel: int) -> Iterator[TopImage]:
    for one in scan.found.top(channel):
        index = scan.indices[one.index]
        item = page.data[index]
        yield TopImage(
            id=f"s{index}",
            name=item.name,
            label=None if item.label is None else class_label(item.label, page.data.classes),
            strength=one.strength,
            place=Place.of(one.geometry),
            map=packed(one.map),
            predicted=PredictionOut.of(one.predicted),
        )


def _scanned(page: Page, asked: TopQuestion, job: Job) -> Scan:
    """Evaluate the images. Those that cannot be read are skipped and counted."""
    served = page.model(asked.model)
    drawn = sample_indices(len(page.data), asked.pictures, asked.seed)
    indices: list[int] = []

    def sources() -> Iterator[Source]:
        for done, index in enumerate(drawn):
            job.tick(done, len(drawn))
            try:
                image = page.data[index].image
            except CamlucidaError:
                continue
            indices.append(index)
            yield image

    top_images_ = channel_top_images(served.model, sources(), layer=_layer(served, asked.layer), n=TOP)
    return Scan(top_images_, tuple(indices), len(drawn) - len(indices))


def _key(page: Page, asked: TopQuestion) -> CacheKey:
    """Return the cache key, which is the same for all channels of the layer."""
    served = page.model(asked.model)
    layer = _layer(served, asked.layer)
    if asked.pictures >= len(page.data):  # all of them, regardless of the seed
        return (*model_key(served), layer)
    return (*model_key(served), layer, asked.pictures, asked.seed)
