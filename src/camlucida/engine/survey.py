"""A survey: one run that writes down every call of every module, with the shape and layout of what it returned.

No tensor outlives the call after the one that returned it, so a survey needs as much memory as a forward pass. What
depends on what is not asked here but, for the few calls where it matters, in `influence`.
"""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import structure
from camlucida.engine.batch import of_image
from camlucida.engine.layout import Layout, infer, infer_windows
from camlucida.engine.tape import structure_get, tensor_path
from camlucida.engine.twin import Twin
from camlucida.errors import LayerError


@dataclass(frozen=True)
class Event:
    """One finished call.

    name         of the module; `call` says which call of it this was, from 1
    shape        of the output's tensor, None if it holds none
    layout       how that lies on the picture, None where it has no place there
    passes_on    position of the event whose output this one returns unchanged (a Sequential's last child)
    nbytes       size of the output's tensor in bytes
    """

    position: int
    name: str
    call: int
    module: nn.Module
    shape: tuple[int, ...] | None
    layout: Layout | None
    passes_on: int | None
    leaf: bool
    nbytes: int

    @cached_property
    def parameters(self) -> int:
        """Number of parameters of the module with all its children; the copy is made anew where that changes."""
        return sum(p.numel() for p in self.module.parameters())


@dataclass(frozen=True)
class Survey:
    """All events of one run in the order in which the calls finished; `outputs` is the network's output width.

    influences   whether the class scores depend on an event's output at positions of the image, by the event's
                 position; filled by `influence.find` for the events that were asked about
    """

    events: tuple[Event, ...]
    outputs: int | None
    influences: dict[int, bool] = field(default_factory=dict, compare=False, repr=False)

    def last(self, module: nn.Module) -> Event | None:
        """The last call of a module, None if it was never reached."""
        return next((e for e in reversed(self.events) if e.module is module), None)

    def calls(self, module: nn.Module) -> int:
        """How often a module was called."""
        return sum(e.module is module for e in self.events)

    def event(self, module: nn.Module, call: int) -> Event | None:
        """One call of a module."""
        return next((e for e in self.events if e.module is module and e.call == call), None)


def survey(twin: Twin, inputs: Any, *, again: bool = False) -> Survey:
    """What happens in the network on inputs of this shape; run once for a shape, then remembered unless `again`."""
    key = ("survey", tuple((t.shape[1:], t.dtype) for _, t in structure.tensors(inputs)))
    if again or key not in twin.notes:
        twin.notes[key] = _surveyed(twin, first_image(inputs), picture_size(inputs))
    found: Survey = twin.notes[key]
    return found


def first_image(inputs: Any) -> Any:
    """The first image of a batch, as a batch of one, cut off from whatever graph or inference mode it came from."""
    with torch.inference_mode(False):
        return structure.transform(of_image(inputs, 0), lambda _, t: _lively(t.detach().clone()))


def _lively(image: Tensor) -> Tensor:
    """Seeded noise in place of a picture of one colour, on which every unit may be dead and nothing look connected."""
    if image.ndim != 4 or not image.is_floating_point() or bool((image != image[..., :1, :1]).any()):
        return image
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).to(image)


def picture_size(inputs: Any) -> tuple[int, int]:
    """(height, width) of the images in the network's inputs."""
    for _, tensor in structure.tensors(inputs):
        if tensor.ndim == 4:
            return int(tensor.shape[-2]), int(tensor.shape[-1])
    shapes = ", ".join(str(tuple(t.shape)) for _, t in structure.tensors(inputs)) or type(inputs).__name__
    raise LayerError(f"the network's input must hold a batch of images (b, c, h, w), but it is {shapes}.")


def _surveyed(twin: Twin, one: Any, picture: tuple[int, int]) -> Survey:
    run = _Surveying(twin, picture)
    with torch.inference_mode(False), torch.no_grad():
        output = twin.run(run, one)
    outputs = next((int(t.shape[-1]) for _, t in structure.tensors(output) if t.ndim == 2), None)
    return Survey(tuple(run.events), outputs)


@dataclass
class _Surveying:
    twin: Twin
    picture: tuple[int, int]
    events: list[Event] = field(default_factory=list)
    _handed: dict[int, tuple[weakref.ref[Tensor], int]] = field(default_factory=dict)
    _calls: Counter[nn.Module] = field(default_factory=Counter)
    _grids: list[tuple[int, int]] = field(default_factory=list)
    _channels_last: bool = False

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        begun = len(self.events)
        output = forward(*args, **kwargs)
        leaf = len(self.events) == begun
        self._calls[module] += 1
        if leaf and next(module.parameters(recurse=False), None) is not None:
            self._channels_last = isinstance(module, nn.Linear | nn.LayerNorm) or "RMSNorm" in type(module).__name__
        tensor = first_tensor(output)
        layout = self._layout(module, tensor)
        if layout and layout.kind != "windows":
            self._grids.append(layout.grid)
        position = len(self.events)
        self.events.append(
            Event(
                position=position,
                name=self.twin.names[module],
                call=self._calls[module],
                module=module,
                shape=None if tensor is None else tuple(tensor.shape),
                layout=layout,
                passes_on=self._same(tensor),
                leaf=leaf,
                nbytes=0 if tensor is None else tensor.nbytes,
            )
        )
        if tensor is None:
            return output
        # The network continues with another tensor object on the same memory, so that two calls that return the
        # same object can be told from two calls of which the second passes on what the first returned.
        handed = tensor.detach()
        self._handed[id(handed)] = (weakref.ref(handed), position)
        return structure.exchange(output, tensor, handed)

    def _layout(self, module: nn.Module, tensor: Tensor | None) -> Layout | None:
        if tensor is None:
            return None
        shape = tuple(tensor.shape)
        found = infer(
            shape, batch=1, picture=self.picture, channels_last=self._channels_last, seen=self._grids
        ) or self._window_layout(module, shape)
        return found if found and math.prod(found.grid) > 1 else None

    def _window_layout(self, module: nn.Module, shape: tuple[int, ...]) -> Layout | None:
        """Windows are only placed where the block around them says how it shifts them."""
        name = self.twin.names[module]
        while "." in name:
            name = name.rpartition(".")[0]
            shift = getattr(self.twin.named(name), "shift_size", None)
            if shift is not None:
                pair = (shift, shift) if isinstance(shift, int) else tuple(shift)
                return infer_windows(shape, batch=1, shift=(int(pair[0]), int(pair[1])), seen=self._grids)
        return None

    def _same(self, tensor: Tensor | None) -> int | None:
        """Position of the event after which the network was given this very object; an id may have been reused."""
        known, position = self._handed.get(id(tensor), (None, None))
        return position if tensor is not None and known is not None and known() is tensor else None


def first_tensor(output: Any) -> Tensor | None:
    """The tensor of a module's output that counts, None where it holds no floating-point tensor."""
    try:
        return structure_get(output, tensor_path(output))
    except LayerError:
        return None
