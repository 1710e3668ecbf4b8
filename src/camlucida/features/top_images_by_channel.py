"""For every channel of a layer, the pictures that excite it most: each picture is looked at once for all channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.attribution.error_context import source_name
from camlucida.attribution.explain import as_model
from camlucida.attribution.request import several_layers
from camlucida.data.images import Source
from camlucida.errors import CamlucidaError, LayerError, MethodError
from camlucida.features.common import N_SHEET_IMAGES, RecordedImage, record_each, validate_channel
from camlucida.models.model import Model
from camlucida.types import Geometry, Prediction

MAX_BYTES = 96 << 20
"""Bytes of maps that are kept, of all channels together."""
EMPTY_SLOT = -1


@dataclass(frozen=True, eq=False)
class ChannelTopImage:
    """A picture that excites a channel much.

    place      which of the pictures given it is, from 0
    strength   the channel's highest activation on it
    map        (h, w) the channel, to 11 bits
    geometry   where the network's input lies on the picture, at the picture's own size
    """

    index: int
    source: str
    strength: float
    map: Tensor
    geometry: Geometry
    predicted: Prediction


@dataclass(frozen=True, eq=False)
class _Style:
    """What is kept of every picture."""

    source: str
    geometry: Geometry
    predicted: Prediction


class ChannelTopImages:
    """The n pictures that excite each channel most. Agrees with `top_images` of every channel.

    layer, model   what they are called
    channels       how many the layer has; 0 where no picture could be read
    kept           how many pictures a channel keeps: n, or fewer where the layer's maps take too much room
    seen           how many pictures were looked at; `failed` those that could not be, with the error
    """

    def __init__(self, model: Model, n: int, max_bytes: int) -> None:
        self.model, self.layer, self.channels, self.kept = model.name, "", 0, n
        self.failed: list[tuple[str, CamlucidaError]] = []
        self._room = max_bytes
        self._looks: dict[int, _Style] = {}
        self._strengths = self._places = self._sizes = self._maps = torch.empty(0)

    @property
    def n_images(self) -> int:
        return len(self._looks)

    @property
    def nbytes(self) -> int:
        """The memory it takes, nearly."""
        tensors = (self._strengths, self._places, self._sizes, self._maps)
        return sum(t.numel() * t.element_size() for t in tensors) + 512 * len(self._looks)

    def top(self, channel: int) -> tuple[ChannelTopImage, ...]:
        """The pictures that excite a channel most, best first. Raises `LayerError` for a channel that is not there."""
        if not self._looks:
            return ()
        row = validate_channel(channel, self.channels, self.layer)
        strengths, indices = self._strengths[row].tolist(), self._places[row].tolist()
        slots = [slot for slot, index in enumerate(indices) if index != EMPTY_SLOT]
        slots.sort(key=lambda slot: (-strengths[slot], indices[slot]))  # of equals the first comes first
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
        """Let each channel's weakest picture make room for this one, if this one is stronger."""
        if not self._looks:
            self._allocate(recorded)
        self._looks[index] = _Style(source, recorded.geometry, recorded.predicted)
        strengths = recorded.maps.amax((1, 2))
        weakest = self._strengths.amin(1, keepdim=True)
        tie_break = torch.where(self._strengths == weakest, self._places, EMPTY_SLOT - 1)
        slots = tie_break.argmax(1)  # the last of the weakest goes first
        rows = (strengths > weakest[:, 0]).nonzero()[:, 0]
        slots = slots[rows]
        maps = recorded.maps[rows]
        scales = maps.abs().amax((1, 2))
        self._strengths[rows, slots] = strengths[rows]
        self._places[rows, slots] = index
        self._sizes[rows, slots] = scales
        self._maps[rows, slots] = (maps / scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None, None]).half()

    def _allocate(self, recorded: RecordedImage) -> None:
        """Room for n maps of every channel, or for as many as fit."""
        self.layer, self.channels = recorded.layer, len(recorded.maps)
        self.kept = max(1, min(self.kept, self._room // max(1, 2 * recorded.maps.numel())))
        shape = (self.channels, self.kept)
        self._strengths = torch.full(shape, -torch.inf)
        self._places = torch.full(shape, EMPTY_SLOT)
        self._sizes = torch.zeros(shape)
        self._maps = torch.zeros((*shape, *recorded.maps.shape[1:]), dtype=torch.float16)


def channel_top_images(
    model: Model | nn.Module | str,
    images: Iterable[Source],
    *,
    layer: Any = None,
    n: int = N_SHEET_IMAGES,
    max_bytes: int = MAX_BYTES,
    progress: Callable[[Source, CamlucidaError | None], None] | None = None,
) -> ChannelTopImages:
    """For every channel of a layer, the n pictures that excite it most: as `top_images`, for all channels at once.

    n        how many pictures a channel keeps; fewer where `room` bytes do not suffice for the maps of all channels
    tick     told after every picture, with the error if there was one; what it raises ends the work
    """
    if n < 1:
        raise MethodError(f"the {n} best pictures are none: ask for one or more.")
    if several_layers(layer):
        raise LayerError(f"a channel belongs to one layer, not to {layer!r}.")
    wrapped = as_model(model)
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
