"""Building blocks of layer inspection: recording one layer for one or many images, and thumbnails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from camlucida.attribution.error_context import error_context
from camlucida.attribution.executor import AttributionRun, ExecutionRequest, run_attribution
from camlucida.attribution.load_input import ImageInput, load_input
from camlucida.attribution.network_inputs import model_inputs
from camlucida.attribution.output_reader import output_reader
from camlucida.attribution.predictions import top_predictions
from camlucida.engine import Layer, copy_of, resolve
from camlucida.errors import CamlucidaError, LayerError
from camlucida.layer_names import layer_names
from camlucida.models.model import Model
from camlucida.render.resize import resize_image
from camlucida.target_specs import parse
from camlucida.types import Geometry, Prediction

N_SHEET_IMAGES = 24
"""Default number of images on a contact sheet."""
THUMBNAIL_PX = 480
"""Longest side of a thumbnail in pixels."""


def record_layer(
    model: Model, image: Tensor, layer: Any, target: Any = 0, score: str = "logit", *, needs: Iterable[str] = ()
) -> tuple[Layer, AttributionRun]:
    """Run an image through the network and record one layer for one target.

    Args:
        model: The model.
        image: `(c, H, W)` the preprocessed image.
        layer: Name or index of the layer; None for the default one.
        target: The target.
        score: The score that is differentiated.
        needs: Names of the method inputs to compute, for example "gradients".

    Returns:
        The resolved layer, and the run with its recorded values.
    """
    inputs = model_inputs(model, image[None])
    copy = copy_of(model.network)
    chosen = model.layer if layer is None else layer_names(model.network, layer)
    with torch.inference_mode(False), torch.no_grad():
        read = output_reader(model, copy, inputs)
        (resolved_layer,) = resolve(copy, inputs, [chosen], read)
        request = ExecutionRequest(
            copy,
            (resolved_layer,),
            read,
            frozenset(needs),
            lambda scores: parse(target, scores, model.labels, score=score, activation=read.activation),
            lambda done, total: None,
        )
        return resolved_layer, run_attribution(request, inputs)


@dataclass(frozen=True, eq=False)
class RecordedImage:
    """An image with a layer's output.

    Attributes:
        image: The image.
        geometry: Position of the network input on the image.
        maps: `(c, h, w)` the output of the layer.
        layer: Name of the layer.
        predicted: The model's top prediction.
    """

    image: Image.Image
    geometry: Geometry
    maps: Tensor
    layer: str
    predicted: Prediction


def record_each(
    model: Model, images: Iterable[ImageInput], layer: Any
) -> Iterator[tuple[ImageInput, RecordedImage | CamlucidaError]]:
    """Yield a layer's output for one image after the other.

    An error of the layer is raised; an error of an image is yielded in its position.
    """
    for source in images:
        try:
            with error_context(model, source):
                loaded = load_input(model.preprocessing, source)
        except CamlucidaError as error:
            yield source, error
            continue
        with error_context(model, source):
            resolved_layer, result = record_layer(model, loaded.inputs, layer)
            maps = result.at_layers[0][0].activations[0].float().cpu()
            (prediction,) = top_predictions(result.output[0], model.labels, result.activation)[:1]
        yield source, RecordedImage(loaded.image, loaded.geometry, maps, resolved_layer.label, prediction)


def validate_channel(channel: int, n_channels: int, layer: str) -> int:
    """Return the index of a channel after checking that the layer has it.

    Raises:
        LayerError: If the layer has no such channel.
    """
    if not 0 <= channel < n_channels:
        raise LayerError(f"{layer} has no channel {channel}: it has {n_channels}, numbered from 0 to {n_channels - 1}.")
    return channel


def shrink_image(image: Image.Image, max_px: int = THUMBNAIL_PX) -> Image.Image:
    """Return the image, resized to a longest side of at most `max_px` pixels."""
    factor = min(1.0, max_px / max(image.size))
    if factor == 1:
        return image
    width, height = image.size
    return resize_image(image, (max(1, round(width * factor)), max(1, round(height * factor))))


def shrink_geometry(geometry: Geometry, thumbnail: Image.Image) -> Geometry:
    """Return the geometry of the resized image."""
    x, y = (old / new for old, new in zip(geometry.original, thumbnail.size, strict=True))
    return Geometry(thumbnail.size, geometry.input, (geometry.scale[0] * x, geometry.scale[1] * y), geometry.offset)
