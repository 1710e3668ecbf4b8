"""The images with the highest activation of one channel."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

import camlucida
from camlucida._ambient import plain_arithmetic
from camlucida._files import png, write_image
from camlucida.attribution.error_context import error_context, source_name
from camlucida.attribution.load_input import ImageInput, iterated
from camlucida.attribution.request import one_layer
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
from camlucida.layer_names import layer_names
from camlucida.maps import to_image_grid
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.options import Count, checked_arguments
from camlucida.render.contact_sheet import Tile, contact_sheet
from camlucida.render.text import format_confidence, format_number
from camlucida.types import Geometry, Prediction


@dataclass(frozen=True, eq=False)
class TopImage:
    """An image with the activation of a channel.

    Attributes:
        source: Name of the image.
        strength: The channel's highest activation.
        map: `(h, w)` the channel's activation map.
        image: A thumbnail of the image.
        geometry: Position of the network input on the thumbnail.
        predicted: The model's top prediction.
    """

    source: str
    strength: float
    map: Tensor
    image: Image.Image
    geometry: Geometry
    predicted: Prediction


@dataclass(frozen=True, eq=False)
class TopImages:
    """The images with the highest activation of one channel, highest first. Displays itself in a notebook.

    Attributes:
        items: The images.
        channel: Index of the channel.
        channels: Number of channels of the layer.
        layer: Name of the layer.
        model: Name of the model.
        n_images: Number of images that were evaluated.
        failed: The images that could not be read, with the error.
    """

    items: tuple[TopImage, ...]
    channel: int
    channels: int
    layer: str
    model: str
    n_images: int
    failed: tuple[tuple[str, CamlucidaError], ...]

    def figure(self, n: int = N_SHEET_IMAGES, **style: Any) -> Image.Image:
        """Render a contact sheet, with one colour scale for all maps.

        Args:
            n: Number of images.
            **style: Style options of `camlucida.render.contact_sheet.contact_sheet`.

        Raises:
            MethodError: If no image could be read.
        """
        items = self.items[: max(1, n)]
        if not items:
            raise MethodError("no image could be read, so there is nothing to draw.")
        maximum = max((item.strength for item in items), default=0.0)
        tiles = [
            Tile(
                item.image,
                (to_image_grid(item.map, item.geometry) / (maximum if maximum > 0 else 1)).clamp(0, 1).numpy(),
                item.source,
                f"{format_number(item.strength)} · {item.predicted.name} "
                f"{format_confidence(item.predicted.probability, item.predicted.logit)}",
            )
            for item in items
        ]
        noun = "images" if self.n_images != 1 else "image"
        return contact_sheet(
            tiles,
            title=f"Channel {self.channel} of {self.layer}",
            subtitle=f"{len(items)} of {self.n_images} {noun}, by their highest activation",
            footer=f"all maps on one scale · {self.model} · camlucida {camlucida.__version__}",
            scale=(0.0, max(maximum, 0.0)),
            **style,
        )

    def save(self, path: str | Path, n: int = N_SHEET_IMAGES, **style: Any) -> list[Path]:
        """Save the contact sheet as an image, and return the paths of the files written."""
        write_image(lambda: self.figure(n, **style), Path(path))
        return [Path(path)]

    def _repr_png_(self) -> bytes:
        return png(self.figure())


@checked_arguments(MethodError)
@plain_arithmetic()
def top_images(
    model: Model | nn.Module | str,
    images: Iterable[ImageInput],
    *,
    channel: int,
    layer: LayerSpec = None,
    n: Count = N_SHEET_IMAGES,
    progress: Callable[[ImageInput, CamlucidaError | None], None] | None = None,
) -> TopImages:
    """Return the n images with the highest activation of a channel.

    Args:
        model: As for `explain`.
        images: The images; images that cannot be read are left out and listed in `failed`.
        channel: Index of the channel.
        layer: Name or index of one layer, as for `explain`; called `target_layer` in pytorch-grad-cam.
        n: Number of images to return.
        progress: Called after every image, with the error if there was one.

    Raises:
        LayerError: If the layer has no such channel.
    """
    wrapped = as_model(model)
    layer = layer_names(wrapped.network, layer)
    one_layer(layer, "a channel belongs to")
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
            entry = (top_image.strength, -index, top_image)  # among equals, the earlier image first
            if len(heap) < n:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
        if progress:
            progress(image, outcome if isinstance(outcome, CamlucidaError) else None)
    ordered = tuple(entry[2] for entry in sorted(heap, key=lambda entry: entry[:2], reverse=True))
    return TopImages(ordered, channel, channels, layer_label, wrapped.name, n_read, tuple(failed))


def _to_top_image(image: ImageInput, recorded: RecordedImage, channel: int) -> TopImage:
    """Return the channel's activation on an image.

    Raises:
        LayerError: If the layer has no such channel.
    """
    channel_map = recorded.maps[
        validate_channel(channel, len(recorded.maps), recorded.layer)
    ].clone()  # a copy, so that the other channels are freed
    thumbnail = shrink_image(recorded.image)
    geometry = shrink_geometry(recorded.geometry, thumbnail)
    return TopImage(source_name(image), float(channel_map.max()), channel_map, thumbnail, geometry, recorded.predicted)
