"""What the views into a layer share: one run that keeps one layer, for one picture or one picture after the other;
and pictures small enough to keep many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from camlucida.attribution.error_context import error_context
from camlucida.attribution.executor import AttributionRequest_, AttributionRun, run_attribution
from camlucida.attribution.explain import top_predictions
from camlucida.attribution.outputs import to_network
from camlucida.data.images import Source, load_image
from camlucida.engine import Layer, copy_of, resolve
from camlucida.errors import CamlucidaError, LayerError
from camlucida.models.model import Model
from camlucida.render.resize import resize_image
from camlucida.targets import parse
from camlucida.types import Geometry, Prediction

N_SHEET_IMAGES = 24
"""How many pictures a sheet has, unless asked otherwise."""
THUMBNAIL_PX = 480
"""The longest side of a picture that is kept to be shown, in pixels."""


def record_layer(
    model: Model, image: Tensor, layer: Any, target: Any = 0, score: str = "logit", *, needs: Iterable[str] = ()
) -> tuple[Layer, AttributionRun]:
    """One run of a picture (c, H, W) with one layer and one target; `needs` are fixtures."""
    inputs = to_network(model.network, image[None])
    copy = copy_of(model.network)
    with torch.inference_mode(False), torch.no_grad():
        (resolved_layer,) = resolve(copy, inputs, [model.layer if layer is None else layer])
        request = AttributionRequest_(
            copy,
            (resolved_layer,),
            model.output,
            frozenset(needs),
            lambda scores: parse(target, scores, model.labels, score=score),
            lambda done, total: None,
        )
        return resolved_layer, run_attribution(request, inputs)


@dataclass(frozen=True, eq=False)
class RecordedImage:
    """A picture, and what a layer gave out on it.

    maps     (c, h, w)
    layer    what it is called
    """

    image: Image.Image
    geometry: Geometry
    maps: Tensor
    layer: str
    predicted: Prediction


def record_each(
    model: Model, images: Iterable[Source], layer: Any
) -> Iterator[tuple[Source, RecordedImage | CamlucidaError]]:
    """What a layer gives out on one picture after the other. A wrong layer stops everything; a wrong picture only
    itself: its error comes in its place.
    """
    for source in images:
        try:
            with error_context(model, source):
                image = load_image(source)
                inputs, geometry = model.preprocessing(image)
        except CamlucidaError as error:
            yield source, error
            continue
        with error_context(model, source):
            resolved_layer, result = record_layer(model, inputs, layer)
            maps = result.at_layers[0][0].activations[0].float().cpu()
            (prediction,) = top_predictions(result.output[0], model.labels)[:1]
        yield source, RecordedImage(image, geometry, maps, resolved_layer.label, prediction)


def validate_channel(channel: int, n_channels: int, layer: str) -> int:
    """The number itself, if the layer has such a channel."""
    if not 0 <= channel < n_channels:
        raise LayerError(f"no channel {channel} at {layer}: it has {n_channels}, from 0 to {n_channels - 1}.")
    return channel


def shrink_image(image: Image.Image, max_px: int = THUMBNAIL_PX) -> Image.Image:
    """Small enough to keep many, large enough for a tile."""
    factor = min(1.0, max_px / max(image.size))
    if factor == 1:
        return image
    width, height = image.size
    return resize_image(image, (max(1, round(width * factor)), max(1, round(height * factor))))


def shrink_geometry(geometry: Geometry, thumbnail: Image.Image) -> Geometry:
    """The same geometry for the picture at another size."""
    x, y = (old / new for old, new in zip(geometry.original, thumbnail.size, strict=True))
    return Geometry(thumbnail.size, geometry.input, (geometry.scale[0] * x, geometry.scale[1] * y), geometry.offset)
