"""Network copies: structural copies that share the weights of a network, so that the network is never modified.

Explaining needs modules in eval mode, without in-place operations, and access to what each of them returns. Doing
this on the caller's model, with hooks, would modify it and rely on everything being restored. The copy is a second
tree of modules around the *same* parameters, which is prepared once. It serves many threads at once: the active run
is stored in a `ContextVar`, and without one, modules run unmodified.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from camlucida._ambient import caller_settings
from camlucida.engine import nested
from camlucida.engine.checkpointing import clear_flags, no_checkpointing
from camlucida.engine.copy_state import CopyState
from camlucida.engine.final_activation import ActivationRecorder
from camlucida.engine.fingerprint import Fingerprint
from camlucida.engine.named_inputs import call_network
from camlucida.engine.originals import Originals
from camlucida.engine.quantized import check_quantized
from camlucida.engine.structural_copy import StructuralCopy
from camlucida.errors import ModelError
from camlucida.foreign import refresh
from camlucida.layer_names import without_wrappers
from camlucida.opaque_networks import OpaqueNetwork


class CallObserver(Protocol):
    """Observes a network copy while it runs: handles every call of every module, as a forward hook does."""

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run `forward(*args, **kwargs)` of `module`, or return a replacement for its output."""


_running: ContextVar[tuple[NetworkCopy, CallObserver] | None] = ContextVar("camlucida_running", default=None)


class NetworkCopy:
    """A copy of a network in eval mode that shares the parameters' storage and can be observed while it runs.

    Parameters are shared, so the copy needs no memory for weights and follows an optimizer's steps. Everything else
    that a `forward` can write to is copied (`StructuralCopy`) and restored after every run (`CopyState`). The first
    run on inputs of a shape is checked for uses of the caller's own objects (`Originals`).

    Args:
        network: The network, in any mode. It is not modified.

    Attributes:
        module: The copy. Calling it runs the network in eval mode.
        names: The name of every module in the copy.
        lasting: Whether the copy may serve further requests: all that `forward` reads can be compared, and holding the
            copy does not keep the caller's network alive.
        notes: Cache of facts about the network (its layers, its batch axes), filled by the functions that compute them.
        ends_in_activation: Whether the network returns the result of a softmax or sigmoid, as the profile found. Then
            the tensors of its output carry that activation (`final_activation`).

    Raises:
        ModelError: For scripted and quantised networks, uninitialised lazy ones, and those that cannot be copied.
    """

    def __init__(self, network: nn.Module) -> None:
        source = unwrapped(network)
        check_quantized(source)
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
        self.ends_in_activation = False
        forward = self._from_the_same_state(self._with_final_activation(self.module.forward))
        self.module.forward = as_called_in_inference(forward)
        self._state, self._stateful = _state(copied), False  # last, since this state is restored after runs
        self.lasting = self._fingerprint.comparable and not (copied.incomparable or copied.held_by_class)
        self.notes: dict[Any, Any] = {}

    @property
    def fresh(self) -> bool:
        """Return whether the network's `forward` would still read the same, except for weights, which are shared."""
        source = self._source()
        if source is None or not self._fingerprint.same(source):
            return False
        self.restore_if_changed()
        return True

    def restore_if_changed(self) -> None:
        """Restore the state if a run changed it, on a path that differs from the first one."""
        if not self._stateful and self._state.likely_changed:
            self._restore()

    def _restore(self) -> None:
        with self._lock:
            self._stateful = True
            self._state.restore()

    def named(self, name: str) -> nn.Module | None:
        """Return the module with a name, which may be any of the names of a module that is registered twice."""
        return self._modules.get(name)

    def run(self, run: CallObserver, inputs: Any) -> Any:
        """Run the copy while an observer handles its module calls.

        Args:
            run: The observer.
            inputs: A tensor, a tuple of positional arguments, or a dict of keyword arguments.

        Returns:
            The network's output.
        """
        with self.watched(run):
            return call_network(self.module, inputs)

    @contextmanager
    def watched(self, run: CallObserver) -> Iterator[None]:
        """Let the observer `run` handle every module call of this copy in this thread, inside the context."""
        token = _running.set((self, run))
        try:
            yield
        finally:
            _running.reset(token)

    def _watch(self, module: nn.Module) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            return  # has no Python forward to observe
        plain = module.forward

        @functools.wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            at_work = _running.get()
            if at_work is None or at_work[0] is not self:
                return plain(*args, **kwargs)
            return at_work[1].call(module, plain, args, kwargs)

        module.forward = forward

    def _with_final_activation(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `forward` so that the output carries the network's last activation, where it has one."""

        @functools.wraps(forward)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            if not self.ends_in_activation:
                return forward(*args, **kwargs)
            with ActivationRecorder() as recorder:
                output = forward(*args, **kwargs)
            recorder.attach(output)
            return output

        return recorded

    def _from_the_same_state(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `forward` so that every run starts from the caller's state, and the first per shape is checked.

        A network that keeps state between runs is limited to one thread at a time.
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


def as_called_in_inference(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `forward` so that it runs without checkpointing, under the settings of the caller of this package."""

    @functools.wraps(forward)
    def whole(*args: Any, **kwargs: Any) -> Any:
        with caller_settings(), no_checkpointing():
            return forward(*args, **kwargs)

    return whole


def _copied(source: nn.Module) -> StructuralCopy:
    """Return a structural copy whose modules are prepared for capturing their outputs."""
    copied = StructuralCopy(source)
    everything = dict.fromkeys([*copied.module.modules(), *(module for _, module, _ in copied.modules)])
    for module in everything:
        _prepare_for_capture(module)
    _install_recorders(everything)
    if copied.kept:  # keeps alive what the copy refers to only weakly
        vars(copied.module)["_camlucida_kept"] = copied.kept
    return copied


def _state(copied: StructuralCopy) -> CopyState:
    modules = dict.fromkeys([*copied.module.modules(), *(module for _, module, _ in copied.modules)])
    plain = [module for module in modules if not isinstance(module, torch.jit.ScriptModule)]
    return CopyState([*plain, *copied.containers], [tensor for _, tensor, _ in copied.tensors])


def duplicate(network: nn.Module) -> nn.Module:
    """Return a structural copy in eval mode that shares the weights and is not observed, to be modified by the caller.

    Replacing a parameter of the copy does not affect the original; modifying it in place does, because storage is
    shared.
    """
    source = unwrapped(network)
    refresh(source)
    return _copied(source).module


_copies: MutableMapping[nn.Module, NetworkCopy] = WeakIdKeyDictionary()
_making = threading.Lock()


_compared: ContextVar[MutableMapping[nn.Module, NetworkCopy] | None] = ContextVar("camlucida_compared", default=None)


@contextmanager
def compared_once() -> Iterator[None]:
    """Compare each network with its copy once in the block, which runs it on many batches.

    Weights are shared with the copy, so they are current in any case. What else the network's `forward` reads must not
    be modified in the block.
    """
    if _compared.get() is not None:
        yield
        return
    token = _compared.set(WeakIdKeyDictionary())
    try:
        yield
    finally:
        _compared.reset(token)


def copy_of(network: nn.Module) -> NetworkCopy:
    """Return the cached copy of a network, which is created on first use and again when the network has changed.

    Where holding the copy would keep the network alive, or where something that `forward` reads cannot be compared, a
    new copy is created for every request.

    Raises:
        ModelError: For scripted networks, uninitialised lazy ones, and those that cannot be copied.
    """
    source = unwrapped(network)
    compared = _compared.get()
    if compared is not None and (known := compared.get(source)) is not None:
        known.restore_if_changed()
        return known
    network_copy = _current_copy(source)
    if compared is not None and network_copy.lasting:
        compared[source] = network_copy
    return network_copy


def _current_copy(source: nn.Module) -> NetworkCopy:
    refresh(source)
    network_copy = _copies.get(source)
    if network_copy is not None and network_copy.fresh:
        return network_copy
    with _making:
        again = _copies.get(source)
        if again is not None and again is not network_copy and again.fresh:
            return again  # created by another thread meanwhile
        _copies.pop(source, None)
        network_copy = _new_copy(source)
        if network_copy.lasting:
            _copies[source] = network_copy
        return network_copy


def _new_copy(source: nn.Module) -> NetworkCopy:
    if not isinstance(source, OpaqueNetwork):
        return NetworkCopy(source)
    from camlucida.engine.opaque_copy import OpaqueCopy  # it is a subclass

    return OpaqueCopy(source)


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside `DataParallel`, `DistributedDataParallel` and `torch.compile`.

    Raises:
        ModelError: For a scripted or traced network.
    """
    inside = without_wrappers(network)
    if isinstance(inside, torch.jit.ScriptModule):
        raise ModelError(
            f"{type(inside).__name__} is a scripted or traced network: its layers cannot be accessed. "
            "Pass the Python module that it was created from."
        )
    return inside


def _install_recorders(modules: Iterable[nn.Module]) -> None:
    """Install the hooks with which transformers records hidden states, on a copy.

    Transformers installs them in the first run and marks the module. After a run the mark would be restored with the
    copy's state but not the hooks, and the next run would install them again and record everything twice.
    """
    capturing = sys.modules.get("transformers.utils.output_capturing")
    install = getattr(capturing, "maybe_install_capturing_hooks", None)
    network_class = getattr(sys.modules.get("transformers.modeling_utils"), "PreTrainedModel", None)
    if install is None or network_class is None:
        return
    for module in modules:
        # The outermost one installs those of all inside it, also a second time.
        if isinstance(module, network_class) and not any(map(_has_recorders, module.modules())):
            install(module)


def _has_recorders(module: nn.Module) -> bool:
    return bool(vars(module).get("_output_capturing_hooks_installed", False))


def _prepare_for_capture(module: nn.Module) -> None:
    """Disable whatever would change, hide or overwrite the output of a module of the copy."""
    if isinstance(module, torch.jit.ScriptModule):
        module.eval()
        return
    module.training = False
    clear_flags(module)
    if isinstance(getattr(module, "inplace", None), bool):
        setattr(module, "inplace", False)  # noqa: B010 - to a type checker attributes of modules are tensors
    module._backward_hooks.clear()
    module._backward_pre_hooks.clear()
    # PyTorch's transformer fast path computes a whole block in one call and never reaches its children.
    if isinstance(module, nn.TransformerEncoderLayer):
        module.activation_relu_or_gelu = 0
    if isinstance(module, nn.TransformerEncoder):
        module.use_nested_tensor = False
