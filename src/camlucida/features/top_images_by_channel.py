"""The images with the highest activation of every channel of a layer, with one forward pass per image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.error_context import source_name
from camlucida.attribution.load_input import ImageInput
from camlucida.attribution.request import several_layers
from camlucida.errors import CamlucidaError, LayerError, MethodError
from camlucida.features.common import N_SHEET_IMAGES, RecordedImage, record_each, validate_channel
from camlucida.layer_names import layer_names
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.types import Geometry, Prediction

MAX_BYTES = 96 << 20
"""Memory limit for the stored maps of all channels, in bytes."""
EMPTY_SLOT = -1
"""Image index of an unused slot."""


@dataclass(frozen=True, eq=False)
class ChannelTopImage:
    """An image with a high activation of a channel.

    Attributes:
        index: Position of the image in the input, from 0.
        source: Name of the image.
        strength: The channel's highest activation.
        map: `(h, w)` the channel's activation map, with a precision of 11 bits.
        geometry: Position of the network input on the image at its original size.
        predicted: The model's top prediction.
    """

    index: int
    source: str
    strength: float
    map: Tensor
    geometry: Geometry
    predicted: Prediction


@dataclass(frozen=True, eq=False)
class _Style:
    """What is stored for every image."""

    source: str
    geometry: Geometry
    predicted: Prediction


class ChannelTopImages:
    """The n images with the highest activation of each channel; agrees with `top_images` for every channel.

    Attributes:
        model: Name of the model.
        layer: Name of the layer.
        channels: Number of channels of the layer; 0 if no image could be read.
        kept: Number of images per channel: n, or fewer if the layer's maps exceed the memory limit.
        failed: The images that could not be read, with the error.
    """

    def __init__(self, model: Model, n: int, max_bytes: int) -> None:
        self.model, self.layer, self.channels, self.kept = model.name, "", 0, n
        self.failed: list[tuple[str, CamlucidaError]] = []
        self._room = max_bytes
        self._looks: dict[int, _Style] = {}
        self._strengths = self._places = self._sizes = self._maps = torch.empty(0)

    @property
    def n_images(self) -> int:
        """Number of images that were evaluated."""
        return len(self._looks)

    @property
    def nbytes(self) -> int:
        """Approximate memory use in bytes."""
        tensors = (self._strengths, self._places, self._sizes, self._maps)
        return sum(t.numel() * t.element_size() for t in tensors) + 512 * len(self._looks)

    def top(self, channel: int) -> tuple[ChannelTopImage, ...]:
        """Return the images with the highest activation of a channel, highest first.

        Raises:
            LayerError: If the layer has no such channel.
        """
        if not self._looks:
            return ()
        row = validate_channel(channel, self.channels, self.layer)
        strengths, indices = self._strengths[row].tolist(), self._places[row].tolist()
        slots = [slot for slot, index in enumerate(indices) if index != EMPTY_SLOT]
        slots.sort(key=lambda slot: (-strengths[slot], indices[slot]))  # among equals, the earlier image first
        return tuple(
            ChannelTopImage(
                indices[slot],
                self._looks[indices[slot]].source,
                strengths[slot],
                self._maps[row, slot].float() * self._sizes[row, slot],
                self._looks[indices[slot]].geometry,
                self._looks[indices[slot]].predicted,
            )
            for slot in slots
        )

    def _add(self, index: int, source: str, recorded: RecordedImage) -> None:
        """Replace each channel's weakest image by this one, if its activation is higher."""
        if not self._looks:
            self._allocate(recorded)
        self._looks[index] = _Style(source, recorded.geometry, recorded.predicted)
        strengths = recorded.maps.amax((1, 2))
        weakest = self._strengths.amin(1, keepdim=True)
        tie_break = torch.where(self._strengths == weakest, self._places, EMPTY_SLOT - 1)
        slots = tie_break.argmax(1)  # among equally weak images, the last one is replaced
        rows = (strengths > weakest[:, 0]).nonzero()[:, 0]
        slots = slots[rows]
        maps = recorded.maps[rows]
        scales = maps.abs().amax((1, 2))
        self._strengths[rows, slots] = strengths[rows]
        self._places[rows, slots] = index
        self._sizes[rows, slots] = scales
        self._maps[rows, slots] = (maps / scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None, None]).half()

    def _allocate(self, recorded: RecordedImage) -> None:
        """Allocate n maps for every channel, or as many as the memory limit allows."""
        self.layer, self.channels = recorded.layer, len(recorded.maps)
        self.kept = max(1, min(self.kept, self._room // max(1, 2 * recorded.maps.numel())))
        shape = (self.channels, self.kept)
        self._strengths = torch.full(shape, -torch.inf, dtype=torch.float32)
        self._places = torch.full(shape, EMPTY_SLOT)
        self._sizes = torch.zeros(shape, dtype=torch.float32)
        self._maps = torch.zeros((*shape, *recorded.maps.shape[1:]), dtype=torch.float16)


@plain_arithmetic()
def channel_top_images(
    model: Model | nn.Module | str,
    images: Iterable[ImageInput],
    *,
    layer: Any = None,
    n: int = N_SHEET_IMAGES,
    max_bytes: int = MAX_BYTES,
    progress: Callable[[ImageInput, CamlucidaError | None], None] | None = None,
) -> ChannelTopImages:
    """Return the n images with the highest activation of every channel of a layer.

    Args:
        model: As for `explain`.
        images: The images; images that cannot be read are left out and listed in `failed`.
        layer: Name or index of one layer, as for `explain`; called `target_layer` in pytorch-grad-cam.
        n: Number of images per channel; fewer are kept if the maps of all channels exceed `max_bytes`.
        max_bytes: Memory limit for the stored maps.
        progress: Called after every image, with the error if there was one; an exception that it raises ends the run.

    Raises:
        MethodError: If `n` is less than 1.
        LayerError: If several layers are given.
    """
    if n < 1:
        raise MethodError(f"n must be 1 or more images per channel, not {n}.")
    wrapped = as_model(model)
    layer = layer_names(wrapped.network, layer)
    if several_layers(layer):
        raise LayerError(f"a channel belongs to one layer, not to {layer!r}.")
    result = ChannelTopImages(wrapped, n, max_bytes)
    for index, (image, outcome) in enumerate(record_each(wrapped, images, layer)):
        error = outcome if isinstance(outcome, CamlucidaError) else None
        if isinstance(outcome, CamlucidaError):
            result.failed.append((source_name(image), outcome))
        else:
            result._add(index, source_name(image), outcome)
        if progress:
            progress(image, error)
    return result
