"""The twin: a structural copy of a network that shares its weights, so that the network itself is never touched.

Explaining needs modules in eval mode, without in-place operations, and a way to look at what each of them
returns. Doing that to the caller's model means changing it and hoping to put everything back. The twin is a
second tree of modules around the *same* parameters, so all of it can be done there once. A twin serves many
threads at once: the run at work is found through a `ContextVar`, and with none at work a call is a plain call.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from camlucida.engine import nested
from camlucida.engine.copy_state import CopyState
from camlucida.engine.fingerprint import Fingerprint
from camlucida.engine.originals import Originals
from camlucida.engine.structural_copy import StructuralCopy
from camlucida.errors import ModelError


class CallObserver(Protocol):
    """Something that watches a twin while it runs: it is asked about every call of every module."""

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run `forward(*args, **kwargs)` of `module`, or answer in its place."""


_running: ContextVar[tuple[NetworkCopy, CallObserver] | None] = ContextVar("camlucida_running", default=None)


class NetworkCopy:
    """A copy of `network` in eval mode that shares the parameters' storage and can be watched while it runs.

    Parameters are shared, so the copy costs no weights and follows an optimiser's steps. Everything else that a
    `forward` can write to is the copy's own (`StructuralCopy`), and is put back after every run (`CopyState`). The
    first run on inputs of a shape is watched: it must use nothing of the caller's (`Originals`).

    Attributes:
        module: The copy. Calling it runs the network as it is in eval mode.
        names: The name of every module in it.
        lasting: Whether it may serve another request: all that `forward` reads can be compared, and holding the
            copy does not keep the caller's network alive.
        notes: What was found out about the network (its layers, its batch axes), kept by those who found it out.

    Raises:
        ModelError: For scripted networks, uninitialised lazy ones, and those that cannot be copied.
    """

    def __init__(self, network: nn.Module) -> None:
        source = unwrapped(network)
        self._source = weakref.ref(source)
        copied = _copied(source)
        self._fingerprint = Fingerprint(source)
        self.module = copied.module
        self.names: dict[nn.Module, str] = {m: name for name, m in self.module.named_modules()}
        self._modules = dict(self.module.named_modules(remove_duplicate=False))
        for module in self.names:
            self._watch(module)
        self._originals = Originals(copied)
        self._watched_shapes: set[Any] = set()
        self._lock = threading.RLock()
        self.module.forward = self._from_the_same_state(self.module.forward)
        self._state, self._stateful = _state(copied), False  # last: what is on the copy now is put back
        self.lasting = self._fingerprint.comparable and not (copied.incomparable or copied.held_by_class)
        self.notes: dict[Any, Any] = {}

    @property
    def fresh(self) -> bool:
        """Whether the network's `forward` would still read the same, other than weights, which are shared."""
        source = self._source()
        if source is None or not self._fingerprint.same(source):
            return False
        if not self._stateful and self._state.likely_changed:  # by a run on another path than the first
            self._restore()
        return True

    def _restore(self) -> None:
        with self._lock:
            self._stateful = True
            self._state.restore()

    def named(self, name: str) -> nn.Module | None:
        """The module of that name in the copy, also under a second name of a module that stands twice."""
        return self._modules.get(name)

    def run(self, run: CallObserver, inputs: Any) -> Any:
        """Run the copy on `inputs` while `run` watches. A tensor, a tuple of arguments, or a dict of keywords."""
        with self.watched(run):
            if isinstance(inputs, tuple):
                return self.module(*inputs)
            if isinstance(inputs, dict):
                return self.module(**inputs)
            return self.module(inputs)

    @contextmanager
    def watched(self, run: CallObserver) -> Iterator[None]:
        """While inside, `run` is asked about every call in this thread."""
        token = _running.set((self, run))
        try:
            yield
        finally:
            _running.reset(token)

    def _watch(self, module: nn.Module) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            return  # has no Python forward to look into; it just runs
        plain = module.forward

        @functools.wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            at_work = _running.get()
            if at_work is None or at_work[0] is not self:
                return plain(*args, **kwargs)
            return at_work[1].call(module, plain, args, kwargs)

        module.forward = forward

    def _from_the_same_state(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Every run of the network begins with the caller's state, and the first of a shape is watched.

        A network that keeps something from one run to the next runs in one thread at a time.
        """

        @functools.wraps(forward)
        def whole(*args: Any, **kwargs: Any) -> Any:
            given = [tensor for _, tensor in nested.tensors((args, kwargs))]
            shapes = tuple([(tensor.shape[1:], tensor.dtype) for tensor in given])
            if not self._stateful and shapes in self._watched_shapes:
                return forward(*args, **kwargs)
            with self._lock:
                try:
                    if shapes in self._watched_shapes:
                        return forward(*args, **kwargs)
                    with self._originals.kept_out([*given, *self._state.tensors]):
                        output = forward(*args, **kwargs)
                    self._watched_shapes.add(shapes)
                    return output
                finally:
                    if self._state.changed:
                        self._restore()

        return whole


def _copied(source: nn.Module) -> StructuralCopy:
    """The copy, calm."""
    copied = StructuralCopy(source)
    everything = dict.fromkeys([*copied.module.modules(), *(module for _, module, _ in copied.modules)])
    for module in everything:
        _prepare_for_capture(module)
    if copied.kept:  # what only a weak reference of the copy leads to would be gone at once
        vars(copied.module)["_camlucida_kept"] = copied.kept
    return copied


def _state(copied: StructuralCopy) -> CopyState:
    modules = dict.fromkeys([*copied.module.modules(), *(module for _, module, _ in copied.modules)])
    plain = [module for module in modules if not isinstance(module, torch.jit.ScriptModule)]
    return CopyState([*plain, *copied.containers], [tensor for _, tensor, _ in copied.tensors])


def duplicate(network: nn.Module) -> nn.Module:
    """A structural copy in eval mode that shares the weights, with nothing in it that watches: to be changed at will.

    A parameter that is exchanged in the copy leaves the network's own alone; one that is written to does not.
    """
    return _copied(unwrapped(network)).module


_twins: MutableMapping[nn.Module, NetworkCopy] = WeakIdKeyDictionary()
_making = threading.Lock()


def copy_of(network: nn.Module) -> NetworkCopy:
    """The network's twin: made on first use, kept as long as the network lives, made anew when it has changed.

    Where holding the copy would keep the network alive, or where something that `forward` reads cannot be compared,
    it is made anew for every request.
    """
    source = unwrapped(network)
    twin = _twins.get(source)
    if twin is not None and twin.fresh:
        return twin
    with _making:
        again = _twins.get(source)
        if again is not None and again is not twin and again.fresh:
            return again  # another thread has made it meanwhile
        _twins.pop(source, None)
        twin = NetworkCopy(source)
        if twin.lasting:
            _twins[source] = twin
        return twin


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside `DataParallel`, `DistributedDataParallel` and `torch.compile`."""
    while True:
        if isinstance(network, torch.jit.ScriptModule):
            raise ModelError(
                f"{type(network).__name__} is a scripted or traced network: its layers cannot be looked into. "
                "Pass the Python module it was made from."
            )
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
            network = inner
        else:
            return network


def _prepare_for_capture(module: nn.Module) -> None:
    """Switch off, in the copy, what would change, hide or overwrite what a layer returned."""
    if isinstance(module, torch.jit.ScriptModule):
        module.eval()
        return
    module.training = False
    if isinstance(getattr(module, "inplace", None), bool):
        setattr(module, "inplace", False)  # noqa: B010 - to a type checker attributes of modules are tensors
    module._backward_hooks.clear()
    module._backward_pre_hooks.clear()
    # PyTorch's transformer fast path computes a whole block in one call and never reaches its children.
    if isinstance(module, nn.TransformerEncoderLayer):
        module.activation_relu_or_gelu = 0
    if isinstance(module, nn.TransformerEncoder):
        module.use_nested_tensor = False
