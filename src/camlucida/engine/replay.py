"""Replay a recorded run of a network copy from a layer on, with other activations of the layer.

A replay executes the Python code of the network again: calls on the tape return their recorded outputs, the layer
returns a replacement, and only what follows it is computed. Skip connections, concatenations, dict outputs and
branches therefore need no graph of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.batch_axes import BatchAxes, BatchAxis, CallAxes, batch_axes, select_image
from camlucida.engine.cost import FORWARDS_WITH_GRADIENT, add_cost
from camlucida.engine.layout import Layout
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.recording import CallEntered, CallReturned, CapturedOutput, StorageKey, Tape


@dataclass(frozen=True)
class CallAfterLayer:
    """A call that ran after the layer in a replay."""

    module: nn.Module
    args: tuple[Any, ...]
    output: Any


@dataclass
class Replay:
    """A call observer that replays a tape up to a layer, which returns a replacement, and then runs the network.

    Attributes:
        module: The layer's module.
        call_number: Which call of the module is the layer, counted from 1.
        replacement: Returns the layer's new output.
        tape: The calls before the layer; None to run the whole network and only replace the layer's output.
        read_tape: Returns the output of a recorded call.
        later_calls: A list to which the calls after the layer are appended, or None.
    """

    module: nn.Module
    call_number: int
    replacement: Callable[[], Any]
    tape: Tape | None
    read_tape: Callable[[CallReturned], Any] = lambda item: item.output
    later_calls: list[CallAfterLayer] | None = None
    _position: int = 0
    _calls: int = 0
    _done: bool = False

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Return the recorded or the replaced output of a call, or run the module after the layer.

        Raises:
            ReplayDiverged: If the call differs from the one on the tape.
        """
        if self._done:
            output = forward(*args, **kwargs)
            if self.later_calls is not None:
                self.later_calls.append(CallAfterLayer(module, args, output))
            return output
        if self.tape is None:
            return self._run_substituted(module, forward, args, kwargs)
        if self._position == len(self.tape):
            if module is not self.module:
                raise ReplayDiverged
            self._done = True
            return self.replacement()
        item = self.tape[self._position]
        self._position += 1
        if item.module is not module:
            raise ReplayDiverged
        return forward(*args, **kwargs) if isinstance(item, CallEntered) else self.read_tape(item)

    def _run_substituted(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        if module is self.module:
            self._calls += 1
            if self._calls == self.call_number:
                self._done = True
                return self.replacement()
        return output


class ReplayDiverged(Exception):
    """The network took another path than on the tape. Caught by the trace, which then runs the whole network."""


def run_suffix(
    copy: NetworkCopy,
    inputs: Any,
    capture: CapturedOutput,
    layout: Layout,
    variants: Tensor,
    image: int,
    *,
    written: Collection[StorageKey] = (),
    later_calls: list[CallAfterLayer] | None = None,
    graph: bool = False,
) -> Any:
    """Run the suffix of a network on other activations of a captured layer.

    Args:
        copy: The network copy.
        inputs: The inputs of the recorded run.
        capture: The layer's output in the recorded run.
        layout: Its layout.
        variants: Replacements of the layer's activations for one image, (n, c, h, w).
        image: Index of the image.
        written: Memory locations of the inputs that the network modifies.
        later_calls: A list to which the calls after the layer are appended, or None.
        graph: Whether to build the graph from the variants to the output.

    Returns:
        The network's output for the n variants.
    """
    with torch.inference_mode(False), torch.set_grad_enabled(graph):
        call_axes = batch_axes(copy, inputs)
        tape_reader = _TapeReader(call_axes, image, len(variants), dict.fromkeys(written))

        def replacement() -> Any:
            return _replacement(capture, layout, variants, image, call_axes.axes_of(capture.ordinal, capture.module))

        def run(replay: Replay) -> Any:
            repeated = select_image(inputs, image, len(variants))
            if written:
                repeated = nested.transform(repeated, lambda _, t: t.clone())
            add_cost(len(variants) * (FORWARDS_WITH_GRADIENT if graph else 1))
            return copy.run(replay, repeated)

        try:
            return run(Replay(capture.module, capture.call, replacement, capture.tape, tape_reader, later_calls))
        except ReplayDiverged:
            if later_calls:
                later_calls.clear()
            return run(Replay(capture.module, capture.call, replacement, None, later_calls=later_calls))


def _replacement(
    capture: CapturedOutput, layout: Layout, variants: Tensor, image: int, output_axes: BatchAxes | None
) -> Any:
    """Return the layer's whole output (tuple, dict, tokens with class tokens), n times, with the variants inserted.

    All tensors are new, since the operations that follow may modify them in place.
    """
    layer_axis = BatchAxis(layout.batch_axis, max(1, layout.frames))

    def for_image(path: nested.Path, tensor: Tensor) -> Tensor:
        axis = output_axes.get(path) if output_axes else None
        if tensor is not capture.tensor:
            return (axis or layer_axis).select(tensor.detach(), image, len(variants)).clone()
        # Windows need no part of the old output: the variants replace every position.
        like = tensor if layout.kind == "windows" else layer_axis.select(tensor.detach(), image, len(variants))
        return layout.from_grid(variants.to(like, copy=True), like)

    return nested.transform(capture.output, for_image)


@dataclass
class _TapeReader:
    """Returns the recorded outputs of the calls on a tape for one image, repeated.

    Tensors that the network modifies are returned as copies, never the tape itself, and as the *same* copy where two
    calls returned the same tensor (a dropout in eval mode returns its input). Where two tensors only overlap in memory,
    the whole network has to run.

    Attributes:
        call_axes: Batch axes of all calls.
        image: Index of the image.
        n: Number of repetitions.
        copies: The copies by memory location.
    """

    call_axes: CallAxes
    image: int
    n: int
    copies: dict[StorageKey, Tensor | None]

    def __call__(self, item: CallReturned) -> Any:
        output_axes = self.call_axes.axes_of(item.ordinal, item.module) or {}

        def for_image(path: nested.Path, tensor: Tensor) -> Tensor:
            axis = output_axes.get(path)
            if axis is None:
                raise ReplayDiverged
            part = axis.select(tensor, self.image, self.n)
            return part if item.storage_keys is None else self._writable_copy(part, item.storage_keys[path])

        return nested.transform(item.output, for_image)

    def _writable_copy(self, part: Tensor, key: StorageKey) -> Tensor:
        existing = self.copies.get(key)
        if existing is None:
            if any(key[0] == other[0] for other in self.copies):
                raise ReplayDiverged
            existing = self.copies[key] = part.clone()
        return existing
