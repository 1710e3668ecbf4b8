"""POST /api/channels/top: the images of the data set that activate a channel most (tab Activations)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.app_state import Page
from camlucida.app.cache_keys import CacheKey, model_key
from camlucida.app.caches import Scan
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.activations import layer_or_default
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.schemas import EncodedMap, GeometryOut, Name, PredictionOut, Schema, packed
from camlucida.data.dataset import sample_indices
from camlucida.data.images import Source
from camlucida.errors import CamlucidaError
from camlucida.features.top_images_by_channel import channel_top_images
from camlucida.targets import class_label

router = APIRouter(tags=["activations"])

N_TOP = 24
"""The number of top images per channel."""
MAX_IMAGES = 2000
"""Maximum number of images to search."""


class TopImagesRequest(Schema):
    """Which images activate a channel most.

    Attributes:
        n_images: The number of images of the data set to search, selected by `seed`; all if it has fewer.
    """

    model: Name | None = None
    layer: Name | None = None
    channel: Annotated[int, Field(ge=0, le=1 << 24)]
    n_images: Annotated[int, Field(ge=1, le=MAX_IMAGES)] = 200
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
    geometry: GeometryOut
    map: EncodedMap
    predicted: PredictionOut


class TopImagesOut(Schema):
    """The images that activate a channel most, highest activation first.

    Attributes:
        n_images: The number of images that were evaluated.
        failed: The number of images that could not be read.
        count: The number of images of the data set.
    """

    layer: str
    channel: int
    total: int
    n_images: int
    failed: int
    count: int
    images: list[TopImage]


@router.post("/channels/top", responses={200: {"model": TopImagesOut}})
async def top(request: Request, page: AppDep, params: TopImagesRequest) -> Response:
    """Return the images that activate a channel most.

    All channels of a layer are searched in one pass, which takes long; with `Accept: text/event-stream` the response
    includes progress events.
    """
    known = page.caches.scans.get(_key(page, params)) is not None
    return await answer(request, lambda job: _top(page, params, job), "quick" if known else "long")


def _top(page: Page, params: TopImagesRequest, job: Job) -> TopImagesOut:
    key = _key(page, params)
    scan = page.caches.scans.get(key)
    if scan is None:
        scan = _scan(page, params, job)
        page.caches.scans.put(key, scan)
    return TopImagesOut(
        layer=scan.top_images.layer,
        channel=params.channel,
        total=scan.top_images.channels,
        n_images=scan.top_images.n_images,
        failed=len(scan.top_images.failed) + scan.missed,
        count=len(page.data),
        images=list(_images(page, scan, params.channel)),
    )


def _images(page: Page, scan: Scan, channel: int) -> Iterator[TopImage]:
    for top_image in scan.top_images.top(channel):
        index = scan.indices[top_image.index]
        item = page.data[index]
        yield TopImage(
            id=f"s{index}",
            name=item.name,
            label=None if item.label is None else class_label(item.label, page.data.classes),
            strength=top_image.strength,
            geometry=GeometryOut.of(top_image.geometry),
            map=packed(top_image.map),
            predicted=PredictionOut.of(top_image.predicted),
        )


def _scan(page: Page, params: TopImagesRequest, job: Job) -> Scan:
    """Evaluate the images. Those that cannot be read are skipped and counted."""
    served = page.model(params.model)
    selected = sample_indices(len(page.data), params.n_images, params.seed)
    indices: list[int] = []

    def sources() -> Iterator[Source]:
        for done, index in enumerate(selected):
            job.progress(done, len(selected))
            try:
                image = page.data[index].image
            except CamlucidaError:
                continue
            indices.append(index)
            yield image

    top_images = channel_top_images(served.model, sources(), layer=layer_or_default(served, params.layer), n=N_TOP)
    return Scan(top_images, tuple(indices), len(selected) - len(indices))


def _key(page: Page, params: TopImagesRequest) -> CacheKey:
    """Return the cache key, which is the same for all channels of the layer."""
    served = page.model(params.model)
    layer = layer_or_default(served, params.layer)
    if params.n_images >= len(page.data):  # all of them, regardless of the seed
        return (*model_key(served), layer)
    return (*model_key(served), layer, params.n_images, params.seed)
