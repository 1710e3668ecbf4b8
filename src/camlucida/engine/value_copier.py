"""Copies of values that are neither modules nor tensors: containers, functions, weak references, arrays.

A copy references copies of all that the value holds: items, cells of closures, default arguments.
"""

from __future__ import annotations

import copy
import functools
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from camlucida.engine.kinds import COPIES_ITSELF, TRAINING_ONLY, Kind
from camlucida.engine.reach import content_of, reaches_state, referent


class ValueCopier:
    """Copies values, each once, so that shared references are shared in the copy as well.

    Attributes:
        containers: Everything in the copy that a forward pass can write to, other than tensors.
        kept: Objects that the copy references only weakly.
    """

    def __init__(self) -> None:
        self.containers: list[Any] = []
        self.kept: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._originals: list[Any] = []  # keeps their ids unique
        self._busy: set[int] = set()
        self._where = ""

    def _copied(self, value: Any, name: str = "") -> Any:
        """Return the copy of `value`, which is called `name` on the network."""
        raise NotImplementedError

    def _parts(self, parts: dict[str, Any], name: str) -> Any:
        """Return the copy of a module's dict of parameters, buffers or modules."""
        raise NotImplementedError

    def _shell(self, value: Any, shell: Any) -> Any:
        """Register an empty copy before it is filled, since its contents may refer back to it."""
        self._memo[id(value)] = shell
        if not isinstance(shell, nn.Module):
            self.containers.append(shell)
        return shell

    def _copies_itself(self, value: Any, contents: Any, name: str) -> Any:
        """Copy a value by its own `__deepcopy__`, with copies of all that it holds in the memo."""
        if id(value) in self._busy:
            raise TypeError("has a __deepcopy__ and refers to itself")
        self._busy.add(id(value))
        where = self._where
        try:
            for key, part in contents.items() if isinstance(contents, dict) else enumerate(contents):
                if key in ("_parameters", "_buffers", "_modules") and isinstance(value, nn.Module):
                    self._parts(part, name)
                elif key not in TRAINING_ONLY:
                    self._copied(part, f"{name}.{key}" if name else str(key))
        finally:
            self._busy.discard(id(value))
        self._where = where
        return getattr(value, COPIES_ITSELF)(self._memo)

    def _dict(self, value: Any, name: str) -> Any:
        cls = type(value)
        if isinstance(value, types.MappingProxyType):
            return types.MappingProxyType(self._copied(dict(value), name))
        if hasattr(cls, COPIES_ITSELF):
            return self._copies_itself(value, value, name)
        base = next(b for b in (OrderedDict, defaultdict, dict) if issubclass(cls, b))
        shell = self._shell(value, base.__new__(cls))
        if isinstance(value, defaultdict):
            shell.default_factory = self._copied(value.default_factory, f"{name}.default_factory")
        for key, part in base.items(value):
            base.__setitem__(shell, self._copied(key, f"{name} key"), self._copied(part, f"{name}[{key!r:.40}]"))
        self._extra_attributes(value, shell, name)
        return shell

    def _extra_attributes(self, value: Any, shell: Any, name: str) -> None:
        """Copy the attributes of an instance of a container subclass."""
        for key, part in (getattr(value, "__dict__", None) or {}).items():
            shell.__dict__[key] = self._copied(part, f"{name}.{key}")
        if getattr(shell, "__dict__", None):
            self.containers.append(shell.__dict__)

    def _sequence(self, value: Any, name: str) -> Any:
        cls = type(value)
        if hasattr(cls, COPIES_ITSELF) and cls is not deque:
            return self._copies_itself(value, value, name)
        if isinstance(value, list | deque):
            base = list if isinstance(value, list) else deque
            shell = self._shell(value, base.__new__(cls))
            if isinstance(value, deque):
                deque.__init__(shell, (), value.maxlen)
            for i, part in enumerate(list(value)):
                base.append(shell, self._copied(part, f"{name}[{i}]"))
            self._extra_attributes(value, shell, name)
            return shell
        if isinstance(value, slice):
            return slice(*(self._copied(part, name) for part in (value.start, value.stop, value.step)))
        parts = [self._copied(part, f"{name}[{i}]") for i, part in enumerate(value)]
        if id(value) in self._memo:  # one of the parts refers back to this value
            return self._memo[id(value)]
        if all(a is b for a, b in zip(parts, value, strict=True)):
            return value
        return cls(parts) if type(value).__module__ == "torch.return_types" else tuple.__new__(cls, parts)

    def _set(self, value: Any, name: str) -> Any:
        if isinstance(value, frozenset):
            return frozenset.__new__(type(value), [self._copied(part, f"{name} member") for part in value])
        shell = self._shell(value, set.__new__(type(value)))
        for part in list(value):
            set.add(shell, self._copied(part, f"{name} member"))
        self._extra_attributes(value, shell, name)
        return shell

    def _function(self, function: types.FunctionType, name: str) -> Any:
        """Return the function itself where it holds constants only, so that `f is F.relu` remains true."""
        return self._rebound(function, name) if reaches_state(function) else function

    def _rebound(self, function: types.FunctionType, name: str) -> types.FunctionType:
        cells = tuple(self._cell(cell, name) for cell in function.__closure__ or ())
        if id(function) in self._memo:  # one of its own cells holds it
            known: types.FunctionType = self._memo[id(function)]
            return known
        rebound = types.FunctionType(function.__code__, function.__globals__, function.__name__, None, cells)
        self._memo[id(function)] = rebound
        rebound.__qualname__, rebound.__doc__ = function.__qualname__, function.__doc__
        rebound.__module__, rebound.__annotations__ = function.__module__, function.__annotations__
        rebound.__defaults__ = self._copied(function.__defaults__, f"{name} default argument")
        rebound.__kwdefaults__ = self._copied(function.__kwdefaults__, f"{name} default argument")
        extra = {k: v for k, v in vars(function).items() if k != "__wrapped__"}
        rebound.__dict__.update({key: self._copied(part, f"{name}.{key}") for key, part in extra.items()})
        if rebound.__dict__:
            self.containers.append(rebound.__dict__)
        return rebound

    def _cell(self, cell: types.CellType, name: str) -> types.CellType:
        if id(cell) in self._memo:
            known: types.CellType = self._memo[id(cell)]
            return known
        self._originals.append(cell)
        copied: types.CellType = self._shell(cell, types.CellType())
        for content in content_of(cell):
            copied.cell_contents = self._copied(content, f"{name} closure")
        return copied

    def _method(self, method: Any, name: str) -> Any:
        owner = self._copied(method.__self__, name)
        if isinstance(method, types.BuiltinFunctionType):  # for example `[].append`
            return method if owner is method.__self__ else getattr(owner, method.__name__)
        function = self._copied(method.__func__, name)
        same = owner is method.__self__ and function is method.__func__
        return method if same else types.MethodType(function, owner)

    def _partial(self, value: Any, name: str) -> Any:
        function = self._copied(value.func, f"{name}.func")
        args = [self._copied(part, f"{name} argument") for part in value.args]
        named = {key: self._copied(part, f"{name} argument {key}") for key, part in value.keywords.items()}
        if function is value.func and not reaches_state((*value.args, *value.keywords.values())) and not vars(value):
            return value
        copied = type(value)(function, *args, **named)
        vars(copied).update({key: self._copied(part, f"{name}.{key}") for key, part in vars(value).items()})
        return copied

    def _cached(self, value: Any, name: str) -> Any:
        return functools.lru_cache(**value.cache_parameters())(self._copied(value.__wrapped__, name))

    def _weak(self, value: Any, name: str) -> Any:
        if isinstance(value, weakref.WeakSet):
            return weakref.WeakSet(self._held(part, name) for part in list(value))
        if isinstance(value, weakref.WeakValueDictionary):
            return weakref.WeakValueDictionary((k, self._held(v, name)) for k, v in list(value.items()))
        if isinstance(value, weakref.WeakKeyDictionary):
            return weakref.WeakKeyDictionary(
                [(self._held(k, name), self._copied(v, name)) for k, v in list(value.items())]
            )
        target = referent(value)
        if target is None:
            return value
        if isinstance(value, weakref.WeakMethod):
            self._held(target.__self__, name)
            return weakref.WeakMethod(self._copied(target, name))
        held = self._held(target, name)
        return weakref.ref(held) if isinstance(value, weakref.ref) else weakref.proxy(held)

    def _held(self, target: Any, name: str) -> Any:
        copied = self._copied(target, name)
        self.kept.append(copied)
        return copied

    def _array(self, value: Any, name: str) -> Any:
        copied = np.array(value, copy=True, subok=type(value) is not np.memmap)
        if value.dtype.hasobject:
            for i in np.ndindex(value.shape):
                copied[i] = self._copied(value[i], f"{name}{list(i)}")
        return self._shell(value, copied)

    def _buffer(self, value: Any, name: str) -> Any:
        if isinstance(value, torch.Generator):
            copied = torch.Generator(value.device)
            copied.set_state(value.get_state())
        else:
            copied = copy.deepcopy(value)
        return self._shell(value, copied)

    by_kind: ClassVar[dict[Kind, Callable[[Any, Any, str], Any]]] = {
        Kind.DICT: _dict,
        Kind.SEQUENCE: _sequence,
        Kind.SET: _set,
        Kind.FUNCTION: _function,
        Kind.METHOD: _method,
        Kind.PARTIAL: _partial,
        Kind.CACHED: _cached,
        Kind.CELL: _cell,
        Kind.WEAK: _weak,
        Kind.ARRAY: _array,
        Kind.BUFFER: _buffer,
    }
