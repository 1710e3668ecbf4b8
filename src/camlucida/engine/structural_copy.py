"""A structural copy of a network: its own modules, attributes and state around the same parameters.

Parameters share the caller's storage. Everything else that a `forward` can write to is copied: buffers, containers,
arrays, objects written in Python, what closures hold. Wherever a module, a tensor or a container of the network is
referred to (a closure, a default argument, a weak reference, a trainer), the copy refers to its own. So nothing that
the copy does reaches the caller's network, and the copy does not keep that network alive.
"""

from __future__ import annotations

import copy
import functools
import types
import warnings
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from camlucida.engine.reach import (
    COPIES_ITSELF,
    RECORDERS,
    Kind,
    attributes_of,
    content_of,
    fits,
    kind_of,
    reaches_module,
    reaches_state,
    referent,
    refers_to,
)
from camlucida.engine.refusal import Refusal
from camlucida.errors import ModelError

TRAINING_ONLY = frozenset(
    [
        "_backward_hooks",
        "_backward_pre_hooks",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_compiled_call_impl",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
        "_is_full_backward_hook",
    ]
)
"""Attributes of `nn.Module` that a forward pass never reads: the copy starts without what they hold."""

HOOK_DICTS = frozenset(
    [
        "_forward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
        "_non_persistent_buffers_set",
    ]
)
"""Those that are empty in nearly all modules, and that no forward pass writes to."""

INSIDE_TORCH = ("torch.",)
"""Packages whose classes hold no modules or state of the user's in closures or default arguments."""


class StructuralCopy:
    """The copy of one network, and what is known about it.

    Attributes:
        module: The copy.
        modules: All modules in it with the original of each and the name it has in the network; also those in plain
            containers, closures and objects, which `named_modules` does not list.
        tensors: The same for parameters, buffers and loose tensors.
        containers: Everything in the copy that a forward pass can write to, other than tensors.
        incomparable: Names of attributes whose contents cannot be compared later: the copy serves one request.
        held_by_class: Whether a class keeps the network alive, so that the copy (an instance of it) does as well.

    Args:
        network: The network, in any mode. It is read, never called.

    Raises:
        ModelError: Where something refuses to be copied; the message names the attribute.
    """

    def __init__(self, network: nn.Module) -> None:
        self.modules: list[tuple[nn.Module, nn.Module, str]] = []
        self.tensors: list[tuple[Tensor, Tensor, str]] = []
        self.containers: list[Any] = []
        self.incomparable: list[str] = []
        self.held_by_class = False
        self._memo: dict[int, Any] = {}
        self._originals: list[Any] = []  # ids are only unique among objects that live
        self._busy: set[int] = set()
        self._inside_object = self._inside_hook = False
        self._leading_to_modules: dict[type, dict[str, Any]] = {}
        self._of_network = {id(module) for module in network.modules()}
        self._where = ""
        self.kept: list[Any] = []
        """What the copy refers to weakly only."""
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # reading deprecated attributes is none of the user's business
            try:
                self.module: nn.Module = self._copied(network)
            except ModelError:
                raise
            except Exception as error:
                kind = "layer" if self._where.startswith("layer ") else "attribute"
                culprit = f"its {kind} {self._where.removeprefix('layer ')!r}" if self._where else "it"
                raise ModelError(
                    f"{type(network).__name__} cannot be copied, and explaining works on a copy: "
                    f"{culprit} raised {type(error).__name__}: {error}. "
                    "Keep such objects outside of the network, or give its class a __deepcopy__."
                ) from error
        self.modules = [(a, b, name) for a, b, name in self.modules if isinstance(b, nn.Module)]
        del self._memo, self._originals

    def _copied(self, value: Any, name: str = "") -> Any:
        if type(value) in _ATOMS:
            return value
        if id(value) in self._memo:
            return self._memo[id(value)]
        kind = kind_of(value)
        if kind is Kind.ATOM or (self._inside_hook and kind in RECORDERS and not reaches_module(value)):
            return value
        self._originals.append(value)
        with self._at(name):
            copied = self._by_kind[kind](self, value, name)
        self._memo[id(value)] = copied
        return copied

    @contextmanager
    def _at(self, name: str) -> Iterator[None]:
        """Know which attribute is being copied; after an exception it stays known."""
        before, self._where = self._where, name
        yield
        self._where = before

    def _shell(self, value: Any, shell: Any) -> Any:
        """Make an empty copy known before it is filled: what is in it may refer back to it."""
        self._memo[id(value)] = shell
        if not isinstance(shell, nn.Module):
            self.containers.append(shell)
        return shell

    def _module(self, module: nn.Module, name: str) -> nn.Module:
        inner = vars(module).get("_modules", {}).get("_orig_mod")
        if isinstance(inner, nn.Module) and type(module).__name__ == "OptimizedModule":
            compiled: nn.Module = self._copied(inner, name)  # what was compiled is code around the caller's layers
            return compiled
        cls = type(module)
        if (own_way := getattr(cls, COPIES_ITSELF, None)) and "parametrize" not in getattr(own_way, "__module__", ""):
            self._where = f"layer {name}"
            copied: nn.Module = self._copies_itself(module, vars(module), name)
        else:
            copied = self._shell(module, nn.Module.__new__(cls))
            self._fill_attributes(module, copied, name)
        self.modules.append((module, copied, name))
        self._rebind_class(cls, copied, name)
        return copied

    def _fill_attributes(self, value: Any, shell: Any, name: str) -> None:
        own = getattr(shell, "__dict__", None)
        is_module = isinstance(value, nn.Module)
        for key, part in attributes_of(value).items():
            if is_module and key in TRAINING_ONLY:
                copied = type(part)() if isinstance(part, dict) else None
            elif is_module and key in ("_parameters", "_buffers", "_modules"):
                copied = self._parts(part, name)
            elif is_module and key in HOOK_DICTS and not part:
                copied = type(part)()
            elif is_module and key in ("_forward_hooks", "_forward_pre_hooks"):
                self._inside_hook = True
                copied = self._dict(part, f"{name}.{key}" if name else key)
                self._inside_hook = False
            else:
                copied = self._copied(part, f"{name}.{key}" if name else key)
            if own is not None and key in vars(value):
                own[key] = copied
            else:
                object.__setattr__(shell, key, copied)

    def _parts(self, parts: dict[str, Any], name: str) -> Any:
        """A module's dict of parameters, buffers or modules, in which names are those of the layers."""
        if id(parts) in self._memo:
            return self._memo[id(parts)]
        self._originals.append(parts)
        copied = self._memo[id(parts)] = type(parts)()
        for key, part in parts.items():
            copied[key] = self._copied(part, f"{name}.{key}" if name else str(key))
        return copied

    def _copies_itself(self, value: Any, contents: Any, name: str) -> Any:
        """What has a `__deepcopy__` of its own copies itself, and meets copies of all that it holds in the memo."""
        if id(value) in self._busy:
            raise TypeError("has a __deepcopy__ and refers back to itself")
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

    def _script(self, module: Any, name: str) -> Any:
        copied = copy.deepcopy(module, self._memo)  # weights and all: they cannot be shared
        self.modules.append((module, copied, name))
        return copied

    def _tensor(self, tensor: Tensor, name: str) -> Tensor:
        copied = shared(tensor)
        if extra := getattr(tensor, "__dict__", None):
            copied.__dict__.update({key: self._copied(part, f"{name}.{key}") for key, part in extra.items()})
        self.tensors.append((tensor, copied, name))
        return copied

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
        """Attributes of an instance of the user's own subclass of a container."""
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
        if id(value) in self._memo:  # one of the parts led back here
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
        """The function itself where it holds constants only, so that `f is F.relu` stays true."""
        return self._rebound(function, name) if reaches_state(function) else function

    def _rebound(self, function: types.FunctionType, name: str) -> types.FunctionType:
        cells = tuple(self._cell(cell, name) for cell in function.__closure__ or ())
        if id(function) in self._memo:  # it is in one of its own cells
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
        if isinstance(method, types.BuiltinFunctionType):  # such as `[].append`
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

    def _object(self, value: Any, name: str) -> Any:
        if self._inside_object:
            return self._filled_object(value, name)
        if not fits(value):
            return self._opaque(value, name)
        self._inside_object = True
        try:
            return self._filled_object(value, name)
        finally:
            self._inside_object = False

    def _filled_object(self, value: Any, name: str) -> Any:
        base: Any = types.SimpleNamespace if isinstance(value, types.SimpleNamespace) else object
        shell = self._shell(value, base.__new__(type(value)))
        self._fill_attributes(value, shell, name)
        return shell

    def _opaque(self, value: Any, name: str) -> Any:
        if refers_to(value, self._of_network):
            return self._refused(value, name)
        self.incomparable.append(name)
        return value

    def _refused(self, value: Any, name: str) -> Any:
        return Refusal(name, type(value).__name__)

    def _rebind_class(self, cls: type, copied: nn.Module, name: str) -> None:
        """Methods and attributes of a class that lead to modules lead to their copies on this one instance."""
        if cls not in self._leading_to_modules:
            self._leading_to_modules[cls] = _leading_to_modules(cls)
        for key, value in self._leading_to_modules[cls].items():
            if key not in vars(copied):
                self.held_by_class = True
                bound = self._copied(value, f"{name}.{key}" if name else key)
                is_method = isinstance(value, types.FunctionType)
                vars(copied)[key] = types.MethodType(bound, copied) if is_method else bound

    _by_kind: ClassVar[dict[Kind, Callable[[StructuralCopy, Any, str], Any]]] = {
        Kind.TENSOR: _tensor,
        Kind.SCRIPT: _script,
        Kind.MODULE: _module,
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
        Kind.OBJECT: _object,
        Kind.OPAQUE: _opaque,
        Kind.ITERATOR: _refused,
    }


def _leading_to_modules(cls: type) -> dict[str, Any]:
    """Functions and other attributes of a class from which a module can be reached."""
    leading: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is object or base.__module__.startswith(INSIDE_TORCH):
            continue
        for key, value in vars(base).items():
            leading.pop(key, None)
            if (key.startswith("__") and key.endswith("__")) or kind_of(value) in _NOT_FOLLOWED:
                continue
            if (isinstance(value, types.FunctionType) or not hasattr(value, "__get__")) and reaches_module(value):
                leading[key] = value
    return leading


_NOT_FOLLOWED = (Kind.ATOM, Kind.TENSOR, Kind.OPAQUE, Kind.ITERATOR)
_ATOMS = frozenset((bool, int, float, str, type(None), type, torch.dtype))


def shared(tensor: Tensor) -> Tensor:
    """Return a parameter around the same storage, which wants no gradient; or a copy of any other tensor.

    A forward may write to buffers and loose tensors (a counter), and these writes must stay in the copy.

    Raises:
        ModelError: For the parameter of a lazy layer that has not seen an input yet.
    """
    if is_lazy(tensor):
        raise ModelError("the network has lazy layers without weights. Run it once on a batch, then explain it.")
    if not isinstance(tensor, nn.Parameter):
        return tensor.detach().clone()
    alias = tensor.detach()
    if tensor.is_inference():  # may not take part in a backward pass, so it cannot be shared
        alias = alias.clone()
    return nn.Parameter(alias, requires_grad=False)
