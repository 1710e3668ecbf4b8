"""For every channel of a layer, the pictures that excite it most: each picture is looked at once for all channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.data.images import Source
from camlucida.error_context import source_name
from camlucida.errors import CamlucidaError, LayerError, MethodError
from camlucida.explaining import as_model
from camlucida.looking import SHEET, Seen, checked, each
from camlucida.models.model import Model
from camlucida.request import several_layers
from camlucida.types import Geometry, Prediction

ROOM = 96 << 20
"""Bytes of maps that are kept, of all channels together."""
NOWHERE = -1


@dataclass(frozen=True, eq=False)
class Strong:
    """A picture that excites a channel much.

    place      which of the pictures given it is, from 0
    strength   the channel's highest activation on it
    map        (h, w) the channel, to 11 bits
    geometry   where the network's input lies on the picture, at the picture's own size
    """

    place: int
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


class Strongest:
    """The n pictures that excite each channel most. Agrees with `top_pictures` of every channel.

    layer, model   what they are called
    channels       how many the layer has; 0 where no picture could be read
    kept           how many pictures a channel keeps: n, or fewer where the layer's maps take too much room
    seen           how many pictures were looked at; `failed` those that could not be, with the error
    """

    def __init__(self, model: Model, n: int, room: int) -> None:
        self.model, self.layer, self.channels, self.kept = model.name, "", 0, n
        self.failed: list[tuple[str, CamlucidaError]] = []
        self._room = room
        self._looks: dict[int, _Style] = {}
        self._strengths = self._places = self._sizes = self._maps = torch.empty(0)

    @property
    def seen(self) -> int:
        return len(self._looks)

    @property
    def nbytes(self) -> int:
        """The memory it takes, nearly."""
        tensors = (self._strengths, self._places, self._sizes, self._maps)
        return sum(t.numel() * t.element_size() for t in tensors) + 512 * len(self._looks)

    def top(self, channel: int) -> tuple[Strong, ...]:
        """The pictures that excite a channel most, best first. Raises `LayerError` for a channel that is not there."""
        if not self._looks:
            return ()
        row = checked(channel, self.channels, self.layer)
        strengths, places = self._strengths[row].tolist(), self._places[row].tolist()
        slots = [slot for slot, place in enumerate(places) if place != NOWHERE]
        slots.sort(key=lambda slot: (-strengths[slot], places[slot]))  # of equals the first comes first
        return tuple(
            Strong(
                places[slot],
                self._looks[places[slot]].source,
                strengths[slot],
                self._maps[row, slot].float() * self._sizes[row, slot],
                self._looks[places[slot]].geometry,
                self._looks[places[slot]].predicted,
            )
            for slot in slots
        )

    def _add(self, place: int, source: str, found: Seen) -> None:
        """Let each channel's weakest picture make room for this one, if this one is stronger."""
        if not self._looks:
            self._begin(found)
        self._looks[place] = _Style(source, found.geometry, found.predicted)
        strengths = found.maps.amax((1, 2))
        weakest = self._strengths.amin(1, keepdim=True)
        of_equals = torch.where(self._strengths == weakest, self._places, NOWHERE - 1)
        slots = of_equals.argmax(1)  # the last of the weakest goes first
        rows = (strengths > weakest[:, 0]).nonzero()[:, 0]
        slots = slots[rows]
        maps = found.maps[rows]
        sizes = maps.abs().amax((1, 2))
        self._strengths[rows, slots] = strengths[rows]
        self._places[rows, slots] = place
        self._sizes[rows, slots] = sizes
        self._maps[rows, slots] = (maps / sizes.clamp_min(torch.finfo(torch.float32).tiny)[:, None, None]).half()

    def _begin(self, found: Seen) -> None:
        """Room for n maps of every channel, or for as many as fit."""
        self.layer, self.channels = found.layer, len(found.maps)
        self.kept = max(1, min(self.kept, self._room // max(1, 2 * found.maps.numel())))
        places = (self.channels, self.kept)
        self._strengths = torch.full(places, -torch.inf)
        self._places = torch.full(places, NOWHERE)
        self._sizes = torch.zeros(places)
        self._maps = torch.zeros((*places, *found.maps.shape[1:]), dtype=torch.float16)


def strongest(
    model: Model | nn.Module | str,
    images: Iterable[Source],
    *,
    layer: Any = None,
    n: int = SHEET,
    room: int = ROOM,
    progress: Callable[[Source, CamlucidaError | None], None] | None = None,
) -> Strongest:
    """For every channel of a layer, the n pictures that excite it most: as `top_pictures`, for all channels at once.

    n        how many pictures a channel keeps; fewer where `room` bytes do not suffice for the maps of all channels
    tick     told after every picture, with the error if there was one; what it raises ends the work
    """
    if n < 1:
        raise MethodError(f"the {n} best pictures are none: ask for one or more.")
    if several_layers(layer):
        raise LayerError(f"a channel belongs to one layer, not to {layer!r}.")
    wrapped = as_model(model)
    made = Strongest(wrapped, n, room)
    for place, (image, found) in enumerate(each(wrapped, images, layer)):
        error = found if isinstance(found, CamlucidaError) else None
        if isinstance(found, CamlucidaError):
            made.failed.append((source_name(image), found))
        else:
            made._add(place, source_name(image), found)
        if progress:
            progress(image, error)
    return made
