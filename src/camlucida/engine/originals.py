"""A check of one run of a network's copy: no object of the caller's network may be used or modified by it.

The copy refers to its own modules and tensors wherever a reference could be followed. What could not be followed (a
global name, a property, code of an extension) is detected here, in the first run on inputs of a shape: the run is
stopped before the caller's module, buffer or parameter is used.
"""

from __future__ import annotations

import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from camlucida.engine.structural_copy import StructuralCopy
from camlucida.errors import ModelError

DROPPING = ("drop", "rrelu")
"""Parts of the names of module classes without weights that compute something else in train mode."""


class Originals:
    """The modules and tensors of the caller's network, and those of its copy.

    Args:
        copied: The copy. Objects of the caller's network are only referenced weakly.
    """

    def __init__(self, copied: StructuralCopy) -> None:
        self._kind = type(copied.module).__name__
        self._originals: dict[int, tuple[weakref.ref[Any], str]] = {}
        for original, copy, name in (*copied.modules, *copied.tensors):
            if original is not copy:
                self._originals[id(original)] = weakref.ref(original), name
        self._own_modules = {id(copy): name for _, copy, name in copied.modules}
        for script in (copy for _, copy, _ in copied.modules if isinstance(copy, torch.jit.ScriptModule)):
            self._own_modules.update(dict.fromkeys(map(id, script.modules()), "a scripted part"))
        self._parameters = {_storage(copy): name for _, copy, name in copied.tensors if isinstance(copy, nn.Parameter)}

    @contextmanager
    def kept_out(self, writable: Sequence[Tensor]) -> Iterator[None]:
        """Stop a run in this thread that uses any object of the caller's network, inside the context.

        Args:
            writable: Tensors that the run may write to: its inputs, the copy's buffers and loose tensors.

        Raises:
            ModelError: If the run uses a module or tensor of the caller, or writes to a parameter.
        """
        thread = threading.get_ident()

        def about_to_run(module: nn.Module, args: Any) -> None:
            if threading.get_ident() == thread:
                self._check_module(module)

        handle = register_module_forward_pre_hook(about_to_run)
        try:
            with _Watch(self, writable):
                yield
        finally:
            handle.remove()

    def named(self, value: Any) -> str | None:
        """Return the name of one of the caller's modules or tensors, or None for any other object."""
        known = self._originals.get(id(value))
        return known[1] if known is not None and known[0]() is value else None

    def _check_module(self, module: nn.Module) -> None:
        if id(module) in self._own_modules:
            return
        name = self.named(module)
        if name is not None:
            self.refuse(f"the network's own layer {name!r}" if name else "the network itself")
        weights = next(module.parameters(), None) is not None or next(module.buffers(), None) is not None
        drops = any(word in type(m).__name__.lower() for m in module.modules() for word in DROPPING)
        if any(m.training for m in module.modules()) and (weights or drops):
            self.refuse(f"a {type(module).__name__} in train mode that is not one of its layers")

    def check_operation(self, func: Any, args: Any, kwargs: Any, born: set[int]) -> None:
        """Check one tensor operation.

        Args:
            func: The operator.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            born: Storages that the run may write to: those of `writable`, and those allocated by the run.

        Raises:
            ModelError: If it reads a tensor of the caller's network, or writes to one that existed before the run.
        """
        for tensor in _tensors((args, kwargs)):
            if id(tensor) in self._originals and (name := self.named(tensor)) is not None:
                self.refuse(f"the network's own tensor {name!r}")
        if not func._schema.is_mutable:
            return
        for argument, value in _written(func._schema.arguments, args, kwargs):
            for tensor in _tensors(value):
                storage = _storage(tensor)
                if not tensor.numel() or storage in born:
                    continue
                name = self._parameters.get(storage)
                where = f"its parameter {name!r}" if name is not None else "a tensor that is no part of it"
                self.refuse(f"{where}: {func._schema.name} would write to its {argument!r}", "writes to")

    def refuse(self, what: str, verb: str = "uses") -> NoReturn:
        """Raise a `ModelError` that names the layer that is running and what it uses."""
        name, function = self._running()
        attribute = f"{name}.{function}" if name else function
        raise ModelError(
            f"{attribute!r} of {self._kind} {verb} {what}. Explaining works on a copy, which must not change the "
            "network or compute with its modules in train mode. Make what it uses an attribute of the network: a "
            "layer, or an argument of `forward`."
        )

    def _running(self) -> tuple[str, str]:
        """Return the name of the layer running in this thread, and of its function."""
        frame: types.FrameType | None = sys._getframe(1)
        while frame is not None:
            first = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))
            if id(first) in self._own_modules:
                called = frame.f_code.co_name
                return self._own_modules[id(first)], "forward" if called in _CALLS_FORWARD else called
            frame = frame.f_back
        return "", "forward"


_CALLS_FORWARD = ("_call_impl", "_wrapped_call_impl", "__call__", "inner", "<lambda>")


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that checks every tensor operation, and changes none."""

    def __init__(self, originals: Originals, writable: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._originals = originals
        self._born = {_storage(t) for t in writable}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False, so that PyTorch does not import its compiler to wrap this class, which takes over a second."""
        return False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        self._originals.check_operation(func, args, kwargs, self._born)
        out = func(*args, **kwargs)
        if not func._schema.is_mutable:  # type: ignore[attr-defined]
            self._born.update(self._new(out, args, kwargs))
        return out

    def _new(self, out: Any, args: Any, kwargs: Any) -> set[int]:
        """Return the storages of outputs that are not views of an input."""
        given = {_storage(t) for t in _tensors((args, kwargs))}
        return {_storage(t) for t in _tensors(out)} - given


def _written(arguments: Sequence[Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of every argument that an operator writes to."""
    for i, argument in enumerate(arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield argument.name, args[i] if i < len(args) else kwargs.get(argument.name)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)


def _storage(tensor: Tensor) -> int:
    """Return the address of a tensor's storage; 0 for a tensor without one, such as a sparse one."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0
