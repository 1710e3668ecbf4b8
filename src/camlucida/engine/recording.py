"""Record one run of a network copy: the outputs of captured layers, and the tapes from which `replay` runs again.

A tape keeps, in order, the output of each *outermost finished call* before a layer.
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
    """A call that had not returned when the layer did, that is, one of its ancestors. A replay executes it."""

    module: nn.Module


@dataclass(frozen=True)
class CallReturned:
    """A finished call. A replay returns its recorded output.

    Attributes:
        module: The module.
        output: What the call returned.
        ordinal: Index of the call in the whole run.
        versions: Version counters of the output's tensors when the call returned; larger ones later mean that the
            network modified them in place.
        storage_keys: Original memory locations of the tensors, if `output` is a copy because the network modifies it;
            otherwise None.
    """

    module: nn.Module
    output: Any
    ordinal: int
    versions: tuple[int, ...]
    storage_keys: Mapping[Path, StorageKey] | None


StorageKey = tuple[int, int, tuple[int, ...], tuple[int, ...]]
"""Storage address, offset, shape and strides of a tensor.

Tensors with the same key share their memory: a write to one modifies the other.
"""

Tape = tuple[CallEntered | CallReturned, ...]


@dataclass(frozen=True)
class CapturedOutput:
    """The output of a captured layer.

    Attributes:
        module: The layer's module.
        output: The whole output, as returned.
        path: Path of the main tensor in `output`.
        tensor: The main tensor: a leaf, or part of the graph of an earlier captured layer.
        call: Which call of the module this was, counted from 1.
        ordinal: Index of the call in the whole run.
        tape: The calls before it, if a tape was recorded.
    """

    module: nn.Module
    output: Any
    path: Path
    tensor: Tensor
    call: int
    ordinal: int
    tape: Tape


WantedCalls = Mapping[tuple[nn.Module, int], Collection[str | None]]
"""The outputs to capture, by module and call number, which is counted from 1.

Each is None for the first spatial tensor of the output, or a key of it.
"""


@dataclass
class Recording:
    """A call observer that captures the outputs of the wanted calls, and the tapes that lead to them.

    Attributes:
        wanted: The outputs to capture.
        gradients: Whether to build the graph after the layers.
        tape: Whether to record tapes for a replay.
        copies: Ordinals of calls whose output the network modifies in place later; copies of these are kept.
        captures: Captured outputs by module, call number and key.
        calls: Number of calls so far, by module.
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
    _held: list[Any] = field(default_factory=list)  # keeps their storage from being reused

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run the module; capture its output if wanted, and add it to the tape."""
        start, was_live = len(self._items), self._live
        if self.tape:
            self._items.append(CallEntered(module))
        output = (eval_batchnorm(module, forward) if was_live else forward)(*args, **kwargs)
        self.calls[module] += 1
        ordinal, self._ordinal = self._ordinal, self._ordinal + 1
        if (module, self.calls[module]) in self.wanted:
            output = self._capture(module, output, ordinal, tuple(self._items[:start]))
        if self.tape:  # record the tensors that the network continues with, which it may write to
            self._items[start:] = [self._to_tape(module, output, ordinal)]
        if self._live and not was_live:  # the layer may be inside a `no_grad` of the network that has just ended
            torch.set_grad_enabled(True)
        return output

    def overwritten(self) -> set[int]:
        """Return the ordinals of calls on a tape whose output was modified after it was recorded."""
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
        for tensor in captured:  # the next operation may modify its input in place
            output = nested.replace_tensor(output, tensor, tensor.clone())
        return output

    def _graph_leaf(self, tensor: Tensor) -> Tensor:
        """Return the tensor at which a graph begins: the given one detached, as a leaf.

        The output of a layer after the first captured one is already part of the graph, unless it does not depend on
        it.
        """
        was_live, self._live = self._live, True
        torch.set_grad_enabled(True)
        return tensor if was_live and tensor.requires_grad else tensor.detach().requires_grad_()


def tensor_path(output: Any, key: Any = None) -> Path:
    """Return the path of the main tensor in a layer's output.

    Args:
        output: The layer's output.
        key: A key, index or field of the output; None for the first floating-point tensor with a spatial layout.

    Raises:
        LayerError: If the output has no such part, or no floating-point tensor.
    """
    floating = [(path, t) for path, t in nested.tensors(output) if t.is_floating_point()]
    if key is not None:
        matches = [path for path, _ in floating if path and str(path[0]) == str(key)]
        if not matches:
            available = ", ".join(str(path[0]) for path, _ in floating if path) or "one tensor only"
            raise LayerError(f"the layer's output has no part '{key}'; it has {available}.")
        return matches[0]
    spatial = [path for path, t in floating if t.ndim >= 3]
    if not floating:
        raise LayerError(f"the layer returns {type(output).__name__}, which holds no floating-point tensor.")
    return (spatial or [path for path, _ in floating])[0]


def get_tensor(output: Any, path: Path) -> Tensor:
    """Return the tensor at `path` of an output."""
    return next(tensor for candidate, tensor in nested.tensors(output) if candidate == path)


def storage_key(tensor: Tensor) -> StorageKey:
    """Return the memory location of a tensor."""
    return tensor.untyped_storage().data_ptr(), int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride()


def _versions(output: Any) -> tuple[int, ...]:
    """Return the version counters of all tensors in an output."""
    return tuple(t._version for _, t in nested.tensors(output))
