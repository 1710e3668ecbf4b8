"""Influence: whether the class scores depend on what a call returned, at positions of the image.

A vision transformer's last norm has no such influence: only its class token is read. Nor has the map that a backbone
returns beside the pooled one that is read: what counts is what is computed from it after the call. Influence is the
gradient of a random mixture of the network's output and of what entered its last Linear (whose weights may be zero).

A backward pass needs every tensor that the operations on its way saved. Here nothing is saved before the first call
that is tested, and callers test the last calls of a network first (`groups`), so the memory stays near that of a
forward pass. Where all calls must be tested and their graph would be large, the network is tested on a smaller image.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlucida.engine import structure
from camlucida.engine.survey import Event, Survey, first_image, first_tensor, survey
from camlucida.engine.twin import Twin

MAX_GRAPH_BYTES = 64 * 2**20
"""A test of all calls whose outputs take more than this is made on a smaller image, where the network allows it."""

SIDE_STEP_PX = 32
"""Sides of the smaller image are multiples of this: what the usual networks halve their input to."""


def groups(found: Survey, events: Sequence[Event]) -> Iterator[list[Event]]:
    """The events from the last to the first, in groups that a backward pass can reach at little memory.

    A group reaches back to where the outputs after it take half the largest output of the network, and as much more
    than the group before it: with copies and gradients less than the two largest that a forward pass has at one time.
    """
    room = max((event.nbytes for event in found.events), default=0) // 2
    after = _bytes_after(found)
    limit = room
    group: list[Event] = []
    for event in reversed(events):
        needed = after[event.position] + (0 if event.leaf else event.nbytes)
        if group and needed > limit:
            yield group
            group = []
            limit = needed + room
        group.append(event)
    if group:
        yield group


def _bytes_after(found: Survey) -> list[int]:
    """For every position the bytes that the modules without children from there on returned."""
    total, after = 0, []
    for event in reversed(found.events):
        total += event.nbytes if event.leaf else 0
        after.append(total)
    return after[::-1]


def find(twin: Twin, inputs: Any, found: Survey, positions: Collection[int]) -> None:
    """Test the events at `positions` and put the results into `found.influences`."""
    if positions:
        found.influences.update(_tested(twin, first_image(inputs), found, positions))


def find_all(twin: Twin, inputs: Any, found: Survey, positions: Collection[int]) -> None:
    """As `find`, for any number of events: on a smaller image where their graph would be large."""
    if not positions:
        return
    total = _bytes_after(found)[min(positions)]
    if total > MAX_GRAPH_BYTES and (small := _smaller(twin, inputs, found, total)) is not None:
        found.influences.update(_tested(twin, small, found, positions))
    else:
        find(twin, inputs, found, positions)


def _smaller(twin: Twin, inputs: Any, found: Survey, total: int) -> Any | None:
    """The first image at a smaller size; None where the network does not do the same there, call by call."""
    scale = math.sqrt(MAX_GRAPH_BYTES / total)

    def resized(_: structure.Path, tensor: Tensor) -> Tensor:
        if tensor.ndim != 4 or not tensor.is_floating_point():
            return tensor
        sides = [max(1, math.ceil(side * scale / SIDE_STEP_PX)) * SIDE_STEP_PX for side in tensor.shape[-2:]]
        if sides[0] >= tensor.shape[-2] or sides[1] >= tensor.shape[-1]:
            return tensor
        return F.interpolate(tensor, (sides[0], sides[1]), mode="nearest")

    with torch.inference_mode(False), torch.no_grad():
        small = structure.transform(first_image(inputs), resized)
        try:
            other = survey(twin, small)
        except Exception:  # a network of one size raises whatever its layers raise: then it is tested at that size
            return None
    alike = len(other.events) == len(found.events) and all(map(_are_alike, other.events, found.events))
    return small if alike else None


def _are_alike(one: Event, other: Event) -> bool:
    """Whether two events at different sizes are the same call with the same layout."""
    if (one.module, one.call, one.leaf, one.passes_on) != (other.module, other.call, other.leaf, other.passes_on):
        return False
    if one.layout is None or other.layout is None:
        return one.layout is other.layout
    return (one.layout.kind, one.layout.prefix) == (other.layout.kind, other.layout.prefix)


def _tested(twin: Twin, one: Any, found: Survey, positions: Collection[int]) -> dict[int, bool]:
    wanted = {(found.events[p].module, found.events[p].call): p for p in positions}
    saving = _Saving()
    run = _Testing(wanted, saving)
    hooks = torch.autograd.graph.saved_tensors_hooks(saving.pack, _unpack)
    with torch.inference_mode(False), torch.enable_grad(), hooks:
        leaves = structure.transform(one, lambda _, t: t.requires_grad_().clone() if t.is_floating_point() else t)
        output = twin.run(run, leaves)
    return dict.fromkeys(positions, False) | _influences(twin, one, found, run, output)


def _influences(twin: Twin, one: Any, found: Survey, run: _Testing, output: Any) -> dict[int, bool]:
    generator = torch.Generator().manual_seed(0)
    ends = [t for _, t in structure.tensors(output) if t.is_floating_point()]
    ends += [run.last_linear_input] if run.last_linear_input is not None else []
    ends = [t for t in ends if t.requires_grad]
    handed = {p: t for p, t in run.handed.items() if t.requires_grad}
    if not ends or not handed:
        return {}
    with torch.inference_mode(False), torch.enable_grad():
        mixture = sum((t * torch.randn(t.shape, generator=generator).to(t)).sum() for t in ends)
        try:
            gradients = torch.autograd.grad(mixture, list(handed.values()), allow_unused=True)  # type: ignore[arg-type]
        except RuntimeError:  # made for inference: overwrites what a backward pass would need, somewhere
            return dict.fromkeys(handed, True)
    return {p: g is not None and _is_placed(twin, one, found, p, g) for p, g in zip(handed, gradients, strict=True)}


def _is_placed(twin: Twin, one: Any, found: Survey, position: int, gradient: Tensor) -> bool:
    """Whether a gradient is other than zero at a position of the image, not only at tokens beside the grid."""
    event = found.events[position]
    if event.shape != tuple(gradient.shape):  # tested on a smaller image, which has a layout of its own
        event = survey(twin, one).events[position]
    return event.layout is not None and bool(event.layout.to_grid(gradient).any())


def _unpack(saved: Tensor | None) -> Tensor:
    assert saved is not None, "the backward pass went beyond the first call that is tested"
    return saved


@dataclass
class _Saving:
    """What operations save for a backward pass: nothing before the first wanted call has returned.

    The graph holds this object, so it must not hold a tensor of the graph in turn: such a circle is never freed. For
    the same reason a tensor is saved without its own part of the graph.
    """

    live: bool = False

    def pack(self, tensor: Tensor) -> Tensor | None:
        return tensor.detach() if self.live else None


@dataclass
class _Testing:
    """A run that keeps what the `wanted` calls returned, and the graph from the first of them on."""

    wanted: dict[tuple[nn.Module, int], int]
    saving: _Saving
    handed: dict[int, Tensor] = field(default_factory=dict)
    last_linear_input: Tensor | None = None
    _calls: Counter[nn.Module] = field(default_factory=Counter)

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        self._calls[module] += 1
        if isinstance(module, nn.Linear) and args and isinstance(args[0], Tensor):
            self.last_linear_input = args[0]
        tensor = returned = first_tensor(output)
        if tensor is None or returned is None:
            return output
        inside_no_grad = not torch.is_grad_enabled()  # of the network's own, which says nothing about influence
        if inside_no_grad:
            torch.set_grad_enabled(True)
            tensor = tensor.detach().requires_grad_()
        position = self.wanted.get((module, self._calls[module]))
        self.saving.live |= position is not None
        if self.saving.live or inside_no_grad:  # a clone, which the next operation may overwrite
            tensor = tensor.clone()
        if position is not None:
            self.handed[position] = tensor
        return structure.exchange(output, returned, tensor)
