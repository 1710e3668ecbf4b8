"""Record one run of a twin; play it again from a layer on.

Recording keeps what each *outermost finished call* before the layer returned, in order: the tape. Playing
follows the real Python code again: calls on the tape return what they returned, the layer returns something
new, and only what comes after it computes. So skips, concatenations, dict outputs and branches need no
graph of the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.eval_batchnorm import eval_batchnorm
from camlucida.engine.nested import Path
from camlucida.errors import LayerError


@dataclass(frozen=True)
class CallEntered:
    """A call that had not returned when the layer did: one of its ancestors. Playing runs it."""

    module: nn.Module


@dataclass(frozen=True)
class CallReturned:
    """A finished call. Playing gives back its output.

    ordinal    the how-manieth call of the whole run this was
    versions   of the output's tensors when the call returned: a higher one later means written to in place
    places     where in memory they lay, if `output` is a copy because it is written to; else None
    """

    module: nn.Module
    output: Any
    ordinal: int
    versions: tuple[int, ...]
    storage_keys: Mapping[Path, StorageKey] | None


StorageKey = tuple[int, int, tuple[int, ...], tuple[int, ...]]
"""Storage, offset, shape and strides of a tensor: two tensors at one place are one, a write to either is to both."""

Tape = tuple[CallEntered | CallReturned, ...]


@dataclass(frozen=True)
class CapturedOutput:
    """What a wanted layer gave out.

    output    as returned; `path` leads to the tensor that counts
    tensor    that tensor: a leaf, or in the graph of an earlier wanted layer
    call      which call of the module this was, from 1
    ordinal   the how-manieth call of the whole run
    tape      what ran before it, when a rerun is wanted
    """

    module: nn.Module
    output: Any
    path: Path
    tensor: Tensor
    call: int
    ordinal: int
    tape: Tape


WantedCalls = Mapping[tuple[nn.Module, int], Collection[str | None]]
"""(module, which call of it, from 1) -> which of its outputs: None for the first spatial one, or keys of them."""


@dataclass
class Recording:
    """A run that captures what `wanted` calls return, and the tapes that lead to them.

    gradients   whether the graph after the layers is needed
    tape        whether a rerun is wanted
    copies      ordinals of calls whose output is written to later, in place: kept as copies
    """

    wanted: WantedCalls
    gradients: bool = False
    tape: bool = False
    copies: Collection[int] = ()
    captures: dict[tuple[nn.Module, int, str | None], CapturedOutput] = field(default_factory=dict)
    calls: Counter[nn.Module] = field(default_factory=Counter)
    _items: list[CallEntered | CallReturned] = field(default_factory=list)
    _ordinal: int = 0
    _live: bool = False
    _held: list[Any] = field(default_factory=list)  # while these live, no other tensor gets their storage

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        start, was_live = len(self._items), self._live
        if self.tape:
            self._items.append(CallEntered(module))
        output = (eval_batchnorm(module, forward) if was_live else forward)(*args, **kwargs)
        self.calls[module] += 1
        ordinal, self._ordinal = self._ordinal, self._ordinal + 1
        if (module, self.calls[module]) in self.wanted:
            output = self._capture(module, output, ordinal, tuple(self._items[:start]))
        if self.tape:  # keep what the network goes on with: that is what it may write to
            self._items[start:] = [self._to_tape(module, output, ordinal)]
        if self._live and not was_live:  # the layer may stand inside the user's own `no_grad`, which has just ended
            torch.set_grad_enabled(True)
        return output

    def overwritten(self) -> set[int]:
        """Ordinals of the calls on a tape whose output was written to after it was kept."""
        return {
            item.ordinal
            for capture in self.captures.values()
            for item in capture.tape
            if isinstance(item, CallReturned) and item.storage_keys is None and item.versions != _versions(item.output)
        }

    def _to_tape(self, module: nn.Module, output: Any, ordinal: int) -> CallReturned:
        detached = nested.transform(output, lambda _, t: t.detach())
        if ordinal not in self.copies:
            return CallReturned(module, detached, ordinal, _versions(detached), None)
        self._held.append(detached)
        keys = {path: storage_key(t) for path, t in nested.tensors(detached)}
        return CallReturned(module, nested.transform(detached, lambda _, t: t.clone()), ordinal, (), keys)

    def _capture(self, module: nn.Module, output: Any, ordinal: int, tape: Tape) -> Any:
        call = self.calls[module]
        captured = []
        for key in self.wanted[module, call]:
            path = tensor_path(output, key)
            tensor = get_tensor(output, path)
            if self.gradients and (leaf := self._graph_leaf(tensor)) is not tensor:
                output = nested.replace_tensor(output, tensor, leaf)
                tensor = leaf
            captured.append(tensor)
            self.captures[module, call, key] = CapturedOutput(module, output, path, tensor, call, ordinal, tape)
        for tensor in captured:  # clones: the next operation may write in place
            output = nested.replace_tensor(output, tensor, tensor.clone())
        return output

    def _graph_leaf(self, tensor: Tensor) -> Tensor:
        """Where a graph begins; a layer after the first one is in that graph already, unless it stands beside it."""
        was_live, self._live = self._live, True
        torch.set_grad_enabled(True)
        return tensor if was_live and tensor.requires_grad else tensor.detach().requires_grad_()


@dataclass(frozen=True)
class CallAfterLayer:
    """A call that ran after the layer while playing."""

    module: nn.Module
    args: tuple[Any, ...]
    output: Any


@dataclass
class Replay:
    """A run that answers from a tape until the layer, which returns `replacement()`, and then computes.

    tape    with None the whole network runs and only the layer's output is exchanged
    after   a list to which the calls after the layer are added
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
    """The network took another path than on the tape. Caught by the rerun, which then runs the whole network."""


def tensor_path(output: Any, key: Any = None) -> Path:
    """Where in a layer's output the tensor is: the first floating one with a spatial layout, or the named one."""
    floating = [(path, t) for path, t in nested.tensors(output) if t.is_floating_point()]
    if key is not None:
        matches = [path for path, _ in floating if path and str(path[0]) == str(key)]
        if not matches:
            available = ", ".join(str(path[0]) for path, _ in floating if path) or "one tensor only"
            raise LayerError(f"the layer's output has no part '{key}'; it has {available}.")
        return matches[0]
    spatial = [path for path, t in floating if t.ndim >= 3]
    if not floating:
        raise LayerError(f"the layer gives out {type(output).__name__}, which holds no floating-point tensor.")
    return (spatial or [path for path, _ in floating])[0]


def get_tensor(output: Any, path: Path) -> Tensor:
    """The tensor at `path`."""
    return next(tensor for candidate, tensor in nested.tensors(output) if candidate == path)


def storage_key(tensor: Tensor) -> StorageKey:
    """Where a tensor lies in memory."""
    return tensor.untyped_storage().data_ptr(), int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride()


def _versions(output: Any) -> tuple[int, ...]:
    return tuple(t._version for _, t in nested.tensors(output))
