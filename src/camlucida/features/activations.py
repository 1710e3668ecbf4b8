"""The channels of a layer on one image: their activations and their contributions to a class."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import camlucida
from camlucida._ambient import plain_arithmetic
from camlucida._files import png, write_image
from camlucida.attribution.build_explanations import target_class
from camlucida.attribution.error_context import error_context, source_name
from camlucida.attribution.load_input import ImageInput, load_input
from camlucida.attribution.predictions import top_predictions
from camlucida.attribution.request import one_layer, one_target
from camlucida.engine import LayerSpec
from camlucida.errors import MethodError, nearest
from camlucida.features.common import N_SHEET_IMAGES, record_layer, shrink_geometry, shrink_image, validate_channel
from camlucida.layer_names import layer_names
from camlucida.maps import max_scale, to_image_grid
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.options import shown
from camlucida.render.contact_sheet import Tile, contact_sheet
from camlucida.render.text import format_confidence, format_number
from camlucida.target_specs import check_score
from camlucida.targets import TargetSpec
from camlucida.types import Geometry, Prediction

ORDERS = ("contribution", "gradient", "activation", "channel")
"""Orders in which channels can be listed."""


@dataclass(frozen=True, eq=False)
class Activations:
    """The activations of a layer's channels on one image, with their contributions to a target.

    Displays itself in a notebook.

    Attributes:
        maps: `(c, h, w)` the output of the layer.
        gradients: `(c,)` the mean gradient of the score: Grad-CAM's weight of each channel.
        contributions: `(c,)` mean gradient × mean activation: the channel's part of the mean of the Grad-CAM map.
        order: The channels, the most important one first.
        by: The order: contribution, gradient, activation or channel.
        image: The image.
        geometry: Position of the network input on the image.
        target: The explained target as text.
        score: The target's score.
        layer: Name of the layer.
        model: Name of the model.
        source: Name of the image.
        predictions: The model's top predictions.
        index: The target's class, if it is a single class.
    """

    maps: Tensor
    gradients: Tensor
    contributions: Tensor
    order: tuple[int, ...]
    by: str
    image: Image.Image
    geometry: Geometry
    target: str
    score: float
    layer: str
    model: str
    source: str
    predictions: tuple[Prediction, ...] = field(repr=False)
    index: int | None = None

    def __len__(self) -> int:
        return len(self.maps)

    @cached_property
    def means(self) -> Tensor:
        """The mean activation of each channel, `(c,)`."""
        return self.maps.mean((1, 2))

    def ordered(self, by: str) -> Activations:
        """Return the same activations in another order, without running the network again.

        Raises:
            MethodError: For an unknown order.
        """
        return replace(self, by=by, order=_sort_channels(by, self.contributions, self.gradients, self.means))

    def n_channels_for(self, fraction: float = 0.5) -> int:
        """Return the number of top channels that hold a fraction (0 to 1) of all positive contributions.

        0 if no contribution is positive.
        """
        positive = self.contributions.double().clamp_min(0).sort(descending=True).values
        cumulative = positive.cumsum(0)
        if not len(cumulative) or cumulative[-1] <= 0:
            return 0
        return min(int((cumulative < fraction * cumulative[-1]).sum()) + 1, int((positive > 0).sum()))

    def heatmap(self, channel: int) -> NDArray[np.float32]:
        """Return a channel's activation on the image, `(height, width)`, with maximum 1.

        NaN outside the crop that the network processes.
        """
        heatmap: NDArray[np.float32] = max_scale(
            to_image_grid(self.maps[validate_channel(channel, len(self), self.layer)], self.geometry)
        ).numpy()
        return heatmap

    def figure(self, n: int = N_SHEET_IMAGES, **style: Any) -> Image.Image:
        """Render the first n channels as a contact sheet.

        Args:
            n: Number of channels.
            **style: Style options of `camlucida.render.contact_sheet.contact_sheet`.

        Raises:
            MethodError: If `n` is less than 1.
        """
        if n < 1:
            raise MethodError(f"n must be 1 or more channels, not {n}.")
        thumbnail = self._thumbnail
        selected = self.order[:n]
        tiles = [
            Tile(
                thumbnail,
                max_scale(to_image_grid(self.maps[c], shrink_geometry(self.geometry, thumbnail))).numpy(),
                f"channel {c}",
                self._caption(c),
            )
            for c in selected
        ]
        predicted = ", ".join(f"{p.name} {format_confidence(p.probability, p.logit)}" for p in self.predictions[:1])
        return contact_sheet(
            tiles,
            title=self.layer,
            subtitle=f"{len(selected)} of {len(self)} channels, {self.maps.shape[1]} × {self.maps.shape[2]}, by "
            f"{_ORDER_LABELS[self.by]} · predicted {predicted or 'no class'}",
            aside=self.target,
            original=thumbnail,
            footer=f"each channel has its own scale · {self.model} · {self.source} · camlucida {camlucida.__version__}",
            **style,
        )

    def save(self, path: str | Path, n: int = N_SHEET_IMAGES, **style: Any) -> list[Path]:
        """Save the contact sheet as an image, and return the paths of the files written."""
        write_image(lambda: self.figure(n, **style), Path(path))
        return [Path(path)]

    def _caption(self, channel: int) -> str:
        if self.by == "gradient":
            return f"weight {_format_signed(float(self.gradients[channel]))}"
        if self.by == "activation":
            return f"mean {format_number(float(self.maps[channel].mean()))}"
        return f"contributes {_format_signed(float(self.contributions[channel]))}"

    @cached_property
    def _thumbnail(self) -> Image.Image:
        return shrink_image(self.image)

    def _repr_png_(self) -> bytes:
        return png(self.figure())


_ORDER_LABELS = {
    "contribution": "mean gradient × mean activation",
    "gradient": "mean gradient",
    "activation": "mean activation",
    "channel": "number",
}


@plain_arithmetic()
def activations(
    model: Model | nn.Module | str,
    image: ImageInput,
    *,
    layer: LayerSpec = None,
    target: TargetSpec = None,
    by: str = "contribution",
    score: str = "logit",
) -> Activations:
    """Compute the activations of one layer's channels on an image, ordered by contribution to a class.

    Args:
        model: As for `explain`.
        image: The image.
        layer: Name or index of one layer, as for `explain`; called `target_layer` in pytorch-grad-cam.
        target: One target, as for `explain`.
        by: The order: contribution (mean gradient × mean activation), gradient, activation, or channel.
        score: The score that is differentiated, as for `explain`.

    Raises:
        MethodError: For an unknown order.
    """
    wrapped = as_model(model)
    with error_context(wrapped, image):
        validate_order(by)
        layer = layer_names(wrapped.network, layer)
        one_layer(layer, "activations are computed at")
        one_target(target, "activations are weighted for")
        check_score(score)
        loaded = load_input(wrapped.preprocessing, image)
        resolved_layer, result = record_layer(wrapped, loaded.inputs, layer, target, score, needs=["gradients"])
        layer_result = result.at_layers[0][0]
        maps, gradients = (
            layer_result.activations[0].float().cpu(),
            result.gradients[0][0][0].float().cpu().mean((1, 2)),
        )
        means = maps.mean((1, 2))
        contributions = gradients * means
        return Activations(
            maps=maps,
            gradients=gradients,
            contributions=contributions,
            order=_sort_channels(by, contributions, gradients, means),
            by=by,
            image=loaded.image,
            geometry=loaded.geometry,
            target=layer_result.target.label(wrapped.labels),
            score=float(result.scores[0, 0]),
            layer=resolved_layer.label,
            model=wrapped.name,
            source=source_name(image),
            predictions=top_predictions(result.output[0], wrapped.labels, result.activation),
            index=target_class(layer_result.target),
        )


def validate_order(by: str) -> str:
    """Return the name of an order of channels after checking that it exists.

    Raises:
        MethodError: For an unknown order.
    """
    if not isinstance(by, str) or by not in ORDERS:
        raise MethodError(
            f"unknown order of channels: {shown(by)}.{nearest(str(by), ORDERS)} Known: {', '.join(ORDERS)}."
        )
    return by


def _sort_channels(by: str, contributions: Tensor, gradients: Tensor, means: Tensor) -> tuple[int, ...]:
    """Return the channels, highest value first; among equals, the lower index first."""
    values = {"contribution": contributions, "gradient": gradients, "activation": means}.get(validate_order(by))
    if values is None:
        return tuple(range(len(means)))
    return tuple(values.argsort(descending=True, stable=True).tolist())


def _format_signed(value: float) -> str:
    return f"+{format_number(value)}" if value > 0 else format_number(value).replace("-", "−", 1)
