"""The pictures that excite one channel of a layer most."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

import camlucida
from camlucida._files import png, write_image
from camlucida.attribution.error_context import error_context, source_name
from camlucida.attribution.explain import as_model, iterated
from camlucida.attribution.request import one_layer
from camlucida.data.images import Source
from camlucida.engine import LayerSpec
from camlucida.errors import CamlucidaError, MethodError
from camlucida.features.common import (
    N_SHEET_IMAGES,
    RecordedImage,
    record_each,
    shrink_geometry,
    shrink_image,
    validate_channel,
)
from camlucida.maps import to_image_grid
from camlucida.models.model import Model
from camlucida.options import Count, checked_arguments
from camlucida.render.contact_sheet import Tile, contact_sheet
from camlucida.render.text import format_number
from camlucida.types import Geometry, Prediction


@dataclass(frozen=True, eq=False)
class TopImage:
    """One picture, and how much a channel is excited by it.

    strength   the channel's highest activation on it
    map        (h, w) the channel
    picture    small, to be shown; `geometry` is about it
    """

    source: str
    strength: float
    map: Tensor
    image: Image.Image
    geometry: Geometry
    predicted: Prediction


@dataclass(frozen=True, eq=False)
class TopImages:
    """The pictures that excite one channel most, best first. Shows itself in a notebook.

    seen      how many pictures were looked at; `failed` those that could not be, with the error
    """

    items: tuple[TopImage, ...]
    channel: int
    channels: int
    layer: str
    model: str
    n_images: int
    failed: tuple[tuple[str, CamlucidaError], ...]

    def figure(self, n: int = N_SHEET_IMAGES, **style: Any) -> Image.Image:
        """A contact sheet; all maps on one scale, so that they can be compared. `look` as of `render.contact`."""
        items = self.items[: max(1, n)]
        if not items:
            raise MethodError("no picture could be read, so there is none to show.")
        maximum = max((item.strength for item in items), default=0.0)
        tiles = [
            Tile(
                item.image,
                (to_image_grid(item.map, item.geometry) / (maximum if maximum > 0 else 1)).clamp(0, 1).numpy(),
                item.source,
                f"{format_number(item.strength)} · {item.predicted.name} {item.predicted.probability:.0%}",
            )
            for item in items
        ]
        noun = "pictures" if self.n_images != 1 else "picture"
        return contact_sheet(
            tiles,
            title=f"Channel {self.channel} of {self.layer}",
            subtitle=f"{len(items)} of {self.n_images} {noun}, first those that excite it most: its highest activation",
            footer=f"all maps on one scale · {self.model} · camlucida {camlucida.__version__}",
            scale=(0.0, max(maximum, 0.0)),
            **style,
        )

    def save(self, path: str | Path, n: int = N_SHEET_IMAGES, **style: Any) -> list[Path]:
        """The sheet as a picture; returns the files written."""
        write_image(lambda: self.figure(n, **style), Path(path))
        return [Path(path)]

    def _repr_png_(self) -> bytes:
        return png(self.figure())


@checked_arguments(MethodError)
def top_images(
    model: Model | nn.Module | str,
    images: Iterable[Source],
    *,
    channel: int,
    layer: LayerSpec = None,
    n: Count = N_SHEET_IMAGES,
    progress: Callable[[Source, CamlucidaError | None], None] | None = None,
) -> TopImages:
    """The n pictures that excite a channel most. One that cannot be read is left out, and named in `failed`.

    tick     told after every picture, with the error if there was one
    """
    one_layer(layer, "a channel belongs to")
    wrapped = as_model(model)
    heap: list[tuple[float, int, TopImage]] = []
    failed: list[tuple[str, CamlucidaError]] = []
    n_read, channels, layer_label = 0, 0, ""
    for index, (image, outcome) in enumerate(record_each(wrapped, iterated(images), layer)):
        if isinstance(outcome, CamlucidaError):
            failed.append((source_name(image), outcome))
        else:
            with error_context(wrapped, image):
                top_image = _to_top_image(image, outcome, channel)
            channels, layer_label, n_read = len(outcome.maps), outcome.layer, n_read + 1
            entry = (top_image.strength, -index, top_image)  # of equals the first comes first
            if len(heap) < n:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
        if progress:
            progress(image, outcome if isinstance(outcome, CamlucidaError) else None)
    ordered = tuple(entry[2] for entry in sorted(heap, key=lambda entry: entry[:2], reverse=True))
    return TopImages(ordered, channel, channels, layer_label, wrapped.name, n_read, tuple(failed))


def _to_top_image(image: Source, recorded: RecordedImage, channel: int) -> TopImage:
    """Raises `LayerError` where the layer has no such channel."""
    channel_map = recorded.maps[
        validate_channel(channel, len(recorded.maps), recorded.layer)
    ].clone()  # not all the others with it
    thumbnail = shrink_image(recorded.image)
    geometry = shrink_geometry(recorded.geometry, thumbnail)
    return TopImage(source_name(image), float(channel_map.max()), channel_map, thumbnail, geometry, recorded.predicted)
