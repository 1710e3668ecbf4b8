"""What a network's `forward` can read, remembered by value, so that a copy made before is known to be outdated.

The whole network is walked before every request: every attribute (also those that begin with `_`), containers and
what is in them, closures, default arguments, objects, the classes' own functions and the constants that these name.
Numbers are compared by value, parameters by where they lie (the copy shares them), all other tensors by their bytes.
Nothing of the network is kept alive for it, other than numbers, names and code.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter, itemgetter
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from camlucida.engine.reach import (
    RECORDERS,
    VALUES,
    Kind,
    attributes_of,
    content_of,
    fits,
    kind_of,
    reaches_module,
    weakly_held,
)
from camlucida.engine.structural_copy import INSIDE_TORCH, TRAINING_ONLY
from camlucida.engine.tensor_snapshot import TensorSnapshot, state_bytes

UNREAD = TRAINING_ONLY | {"training", "_non_persistent_buffers_set"}
"""Attributes of `nn.Module` that do not decide what its copy, which is in eval mode, computes."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks")
HOOK_FLAGS = ("_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs")
TREE = ("_parameters", "_buffers", "_modules")


class Fingerprint:
    """What a network's `forward` can read, now.

    Attributes:
        comparable: Whether every tensor of it can be compared later.

    Args:
        network: The network, which is not kept alive.
    """

    def __init__(self, network: nn.Module) -> None:
        builder = _Builder()
        self._root = builder.node(network)
        self._classes = [_Class(cls, builder) for cls in builder.classes()]
        walk = _Walk()
        self._consistent = self._walked(network, walk)
        self._parameters = _parameters(walk.parameters)
        self._extras = [builder.node(p.__dict__) if p.__dict__ else None for p in walk.parameters]
        self._tensors = TensorSnapshot(walk.tensors)
        self.comparable = self._consistent and self._tensors.comparable

    def same(self, network: nn.Module) -> bool:
        """Whether the network's `forward` would still read the same."""
        walk = _Walk()
        return (
            self._walked(network, walk)
            and _parameters(walk.parameters) == self._parameters
            and self._same_extras(walk)
            and self._tensors.same(walk.tensors)
        )

    def _walked(self, network: nn.Module, walk: _Walk) -> bool:
        return self._root.same(network, walk) and all(cls.same(walk) for cls in self._classes)

    def _same_extras(self, walk: _Walk) -> bool:
        """Attributes that the user put on parameters."""
        for node, own in zip(self._extras, list(map(_attributes, walk.parameters)), strict=True):
            if (node is not None or own) and (node is None or not node.same(own, walk)):
                return False
        return True


_attributes = attrgetter("__dict__")
_shapes = attrgetter("shape", "dtype")


def _parameters(parameters: Sequence[Tensor]) -> tuple[list[Any], ...]:
    """Where parameters lie. The copy holds the storage, so no other tensor can come to lie there."""
    return (
        list(map(Tensor.data_ptr, parameters)),
        list(map(_shapes, parameters)),
        list(map(Tensor.stride, parameters)),
    )


class _Walk:
    """One walk over a network: the tensors met, and which value stood for which node."""

    __slots__ = ("parameters", "seen", "tensors")

    def __init__(self) -> None:
        self.parameters: list[Tensor] = []
        self.tensors: list[Tensor] = []
        self.seen: dict[int, int] = {}


class _Node(Protocol):
    """What one value was."""

    def same(self, value: Any, walk: _Walk) -> bool:
        """Whether `value` is that still."""


_PART = object()
_EXACT = frozenset(VALUES)


def _equal(now: Any, before: Any) -> bool:
    """Whether two atoms that are not the same object are the same value."""
    if type(now) is tuple and type(before) is tuple:
        return len(now) == len(before) and all(a is b or _equal(a, b) for a, b in zip(now, before, strict=True))
    if type(now) is not type(before) or not isinstance(now, VALUES):
        return False
    return repr(now) == repr(before) if isinstance(now, float | complex | np.generic) else bool(now == before)


class _Items:
    """Values in an order: atoms by value, parts by their nodes."""

    __slots__ = ("atoms", "ids", "parts")

    def __init__(self, values: Sequence[Any], builder: _Builder) -> None:
        nodes = [builder.node(value) for value in values]
        self.ids = list(map(id, values))
        self.atoms = [value if node is None else _PART for value, node in zip(values, nodes, strict=True)]
        self.parts = [(i, node) for i, node in enumerate(nodes) if node is not None]

    def same(self, values: Sequence[Any], walk: _Walk) -> bool:
        if list(map(id, values)) != self.ids:
            if len(values) != len(self.ids):
                return False
            for now, before, known in zip(values, self.atoms, self.ids, strict=True):
                if id(now) != known and (before is _PART or not _equal(now, before)):
                    return False
        return all(node.same(values[i], walk) for i, node in self.parts) if self.parts else True


class _Shared:
    """A node that may be met several times in a walk, also inside of itself: it is looked into once."""

    __slots__ = ()

    def same(self, value: Any, walk: _Walk) -> bool:
        known = walk.seen.get(id(self))
        if known is not None:
            return known == id(value)
        walk.seen[id(self)] = id(value)
        return self.inside(value, walk)

    def inside(self, value: Any, walk: _Walk) -> bool:
        raise NotImplementedError


class _Module(_Shared):
    """A module: its own attributes, parameters, buffers, hooks and children."""

    __slots__ = ("buffers", "children", "cls", "count", "hooks", "items", "parameters", "read")

    def start(self, module: nn.Module, builder: _Builder) -> None:
        own = vars(module)
        self.cls = type(module)
        self.count = len(own)
        named = [k for k in own if k not in UNREAD and k not in TREE and k not in HOOKS and k not in HOOK_FLAGS]
        # One key would make `itemgetter` return the value itself.
        self.read: Callable[[Any], tuple[Any, ...]] = itemgetter(*named, "_parameters", "_parameters")
        self.items = _Items(self.read(own)[:-2], builder)
        self.parameters = _names(own["_parameters"])
        self.buffers = _names(own["_buffers"])
        hooked = own["_forward_hooks"] or own["_forward_pre_hooks"]
        with builder.among_recorders():
            self.hooks = [(key, _Dict.of(own[key], builder)) for key in (*HOOKS, *HOOK_FLAGS)] if hooked else None
        self.children = [(k, None if v is None else builder.node(v)) for k, v in own["_modules"].items()]

    def inside(self, module: Any, walk: _Walk) -> bool:
        if type(module) is not self.cls:
            return False
        own = module.__dict__
        if len(own) != self.count:
            return False
        try:
            values = self.read(own)[:-2]
        except KeyError:
            return False
        if not self.items.same(values, walk):
            return False
        if self.hooks is None:
            if own["_forward_hooks"] or own["_forward_pre_hooks"]:
                return False
        elif not all(node.same(own[key], walk) for key, node in self.hooks):
            return False
        if (parameters := own["_parameters"]) or self.parameters:
            if _names(parameters) != self.parameters:
                return False
            walk.parameters += [p for p in parameters.values() if p is not None]
        if (buffers := own["_buffers"]) or self.buffers:
            if _names(buffers) != self.buffers:
                return False
            walk.tensors += [b for b in buffers.values() if b is not None]
        modules = own["_modules"]
        if len(modules) != len(self.children):
            return False
        for (name, module), (known, node) in zip(modules.items(), self.children, strict=True):
            if name != known or (module is not None if node is None else not node.same(module, walk)):
                return False
        return True


def _names(tensors: Mapping[str, Tensor | None]) -> list[tuple[str, bool]]:
    return [(name, tensor is None) for name, tensor in tensors.items()]


class _Script:
    """A scripted part: its weights are copied with it, so that they are compared by their bytes."""

    __slots__ = ("attributes", "cls")

    def __init__(self, module: Any) -> None:
        self.cls = type(module)
        self.attributes = _scripted(module)

    def same(self, module: Any, walk: _Walk) -> bool:
        if type(module) is not self.cls or _scripted(module) != self.attributes:
            return False
        walk.tensors += module.parameters()
        walk.tensors += module.buffers()
        return True


def _scripted(module: Any) -> list[str]:
    """The numbers and texts among a scripted module's attributes."""
    found = []
    for name, part in module.named_modules():
        attributes: Any = getattr(getattr(part, "_concrete_type", None), "get_attributes", dict)()
        found += [f"{name}.{key}={getattr(part, key)!r}" for key in attributes if key not in ("training",)]
    return [text for text in found if "tensor(" not in text]


class _Tensor:
    """A loose tensor or parameter."""

    __slots__ = ()

    def same(self, value: Any, walk: _Walk) -> bool:
        if not isinstance(value, Tensor):
            return False
        (walk.parameters if isinstance(value, nn.Parameter) else walk.tensors).append(value)
        return True


class _Dict(_Shared):
    """A dict of whatever class, keys and values, in their order."""

    __slots__ = ("cls", "extra", "items", "keys")

    @staticmethod
    def of(value: Any, builder: _Builder) -> _Dict:
        node = _Dict()
        node.start(value, builder)
        return node

    def start(self, value: Any, builder: _Builder) -> None:
        self.cls = type(value)
        self.keys = _Items(list(value.keys()), builder)
        self.items = _Items(list(value.values()), builder)
        self.extra = _Items(_extra(value), builder)

    def inside(self, value: Any, walk: _Walk) -> bool:
        return (
            type(value) is self.cls
            and self.keys.same(list(value.keys()), walk)
            and self.items.same(list(value.values()), walk)
            and self.extra.same(_extra(value), walk)
        )


class _Values(_Shared):
    """Whatever can be told as a list of values: lists, tuples, sets, slices, partials, methods, weak references."""

    __slots__ = ("cls", "items", "tell")

    def __init__(self, tell: Callable[[Any], list[Any]]) -> None:
        self.tell = tell

    def start(self, value: Any, builder: _Builder) -> None:
        self.cls = type(value)
        self.items = _Items(self.tell(value), builder)

    def inside(self, value: Any, walk: _Walk) -> bool:
        return type(value) is self.cls and self.items.same(self.tell(value), walk)


class _State:
    """What has a state that can be read as bytes: arrays, generators of random numbers."""

    __slots__ = ("cls", "state")

    def __init__(self, value: Any) -> None:
        self.cls, self.state = type(value), state_bytes(value)

    def same(self, value: Any, walk: _Walk) -> bool:
        return type(value) is self.cls and state_bytes(value) == self.state


class _Same:
    """What the copy itself holds, or refuses to use: it is this object or another one."""

    __slots__ = ("number",)

    def __init__(self, value: Any) -> None:
        self.number = id(value)

    def same(self, value: Any, walk: _Walk) -> bool:
        return id(value) == self.number


class _Class:
    """A class of a module: its functions, what these hold, and its own constants.

    Of PyTorch's own classes only whether `forward` is still theirs.
    """

    def __init__(self, cls: type, builder: _Builder) -> None:
        self.cls = cls
        self.inside_torch = cls.__module__.startswith(INSIDE_TORCH)
        self.items = builder.of_class(self._told())
        functions = [] if self.inside_torch else [f for f in vars(cls).values() if isinstance(f, types.FunctionType)]
        self.constants = [
            (namespace, names, _Items([namespace.get(name) for name in names], builder))
            for namespace, names in builder.constants(functions)
        ]

    def _told(self) -> list[Any]:
        own = vars(self.cls)
        if self.inside_torch:
            forward = own.get("forward")
            return [forward, getattr(forward, "__code__", None)]
        named = [v for k, v in own.items() if not k.startswith("__") or k == "__call__"]
        return named + [v.__code__ for v in named if isinstance(v, types.FunctionType)]

    def same(self, walk: _Walk) -> bool:
        return self.items.same(self._told(), walk) and all(
            items.same([namespace.get(name) for name in names], walk) for namespace, names, items in self.constants
        )


class _Builder:
    """Makes the nodes of a network, one for each object."""

    def __init__(self) -> None:
        self._nodes: dict[int, Any] = {}
        self._alive: list[Any] = []
        self._classes: dict[type, None] = {}
        self._inside_object = False
        self._among_recorders = False
        self._inside_class = False

    @contextmanager
    def among_recorders(self, among: bool = True) -> Iterator[None]:
        """While inside, lists and objects without modules are the caller's own in the copy as well: never outdated."""
        before, self._among_recorders = self._among_recorders, among
        yield
        self._among_recorders = before

    def of_class(self, values: Sequence[Any]) -> _Items:
        """The attributes of a class: what its functions close over is not copied."""
        self._inside_class = True
        items = _Items(values, self)
        self._inside_class = False
        return items

    def classes(self) -> list[type]:
        """All classes of the modules met, but those that every module has."""
        every = dict.fromkeys(base for cls in self._classes for base in cls.__mro__)
        return [cls for cls in every if cls not in (nn.Module, object)]

    def constants(self, functions: Iterable[types.FunctionType]) -> list[tuple[dict[str, Any], list[str]]]:
        """The names of numbers, containers and functions that code finds in its module, by namespace."""
        by_namespace: dict[int, tuple[dict[str, Any], dict[str, None]]] = {}
        for function in functions:
            namespace, names = by_namespace.setdefault(id(function.__globals__), (function.__globals__, {}))
            names.update(dict.fromkeys(n for n in _named(function.__code__) if _is_constant(namespace.get(n))))
        return [(namespace, list(names)) for namespace, names in by_namespace.values() if names]

    def node(self, value: Any) -> Any:
        """The node of a value, None for an atom."""
        if type(value) in _EXACT or (type(value) is tuple and all(type(part) in _EXACT for part in value)):
            return None  # nearly all are: numbers, and pairs of them
        known = self._nodes.get(id(value))
        if known is not None:
            return known
        kind = kind_of(value)
        if kind is Kind.ATOM:
            return None
        self._alive.append(value)
        if self._among_recorders and kind in RECORDERS and not reaches_module(value):
            return _Same(value)
        node = self._nodes[id(value)] = self._new(value, kind)
        if isinstance(node, _Shared):
            started = self._inside_object
            self._inside_object = started or kind is Kind.OBJECT
            with self.among_recorders(self._among_recorders or (self._inside_class and kind is Kind.FUNCTION)):
                node.start(value, self)  # type: ignore[attr-defined]
            self._inside_object = started
        return node

    def _new(self, value: Any, kind: Kind) -> Any:
        match kind:
            case Kind.MODULE:
                self._classes[type(value)] = None
                return _Module()
            case Kind.SCRIPT:
                return _Script(value)
            case Kind.TENSOR:
                return _Tensor()
            case Kind.DICT:
                return _Dict()
            case Kind.ARRAY if not value.dtype.hasobject:
                return _State(value)
            case Kind.BUFFER:
                return _State(value)
            case Kind.OBJECT if self._inside_object or fits(value):
                return _Values(_told_object)
            case Kind.FUNCTION:
                return _Values(_Function(self.constants([value])))
            case Kind.OBJECT | Kind.OPAQUE | Kind.ITERATOR:
                return _Same(value)
        return _Values(_TELL[kind])


def _named(code: types.CodeType) -> set[str]:
    """Names that code looks up, also that of functions inside of it."""
    inside = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*map(_named, inside))


def _is_constant(value: Any) -> bool:
    """A number or a container of numbers; an empty list is more likely there to be filled."""
    if isinstance(value, dict):
        return all(map(_is_constant, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return len(value) > 0 and all(map(_is_constant, value))
    return isinstance(value, VALUES) and value is not None


class _Function:
    """Tells a function by its code, and by all that it holds or looks up."""

    __slots__ = ("constants",)

    def __init__(self, constants: list[tuple[dict[str, Any], list[str]]]) -> None:
        self.constants = [names for _, names in constants]

    def __call__(self, function: types.FunctionType) -> list[Any]:
        cells = function.__closure__ or ()
        told = [function.__code__, len(cells), function.__defaults__]
        told += [part for cell in cells for part in (*content_of(cell), _END)]
        for name, value in (function.__kwdefaults__ or {}).items():
            told += [name, value]
        for name, value in vars(function).items():
            told += [] if name == "__wrapped__" else [name, value]
        return told + [function.__globals__.get(name) for names in self.constants for name in names]


_END = "end of cell"


def _extra(value: Any) -> list[Any]:
    """Attributes of an instance of the user's own subclass of a container; what a `defaultdict` makes."""
    own = getattr(value, "__dict__", None)
    return [*(own or {}).keys(), *(own or {}).values(), getattr(value, "default_factory", None)]


def _told_object(value: Any) -> list[Any]:
    own = attributes_of(value)
    return [*own.keys(), *own.values()]


def _told_weak(value: Any) -> list[Any]:
    if isinstance(value, weakref.WeakMethod):
        method = value()
        return [] if method is None else [method.__func__, method.__self__]
    return weakly_held(value)


def _told_sequence(value: Any) -> list[Any]:
    if isinstance(value, slice):
        return [value.start, value.stop, value.step]
    return [*value, *_extra(value), getattr(value, "maxlen", None)]


_TELL: dict[Kind, Callable[[Any], list[Any]]] = {
    Kind.SEQUENCE: _told_sequence,
    Kind.SET: lambda value: [*value, *_extra(value)],
    Kind.METHOD: lambda value: [getattr(value, "__func__", value.__name__), value.__self__],
    Kind.PARTIAL: lambda value: [value.func, *value.args, *value.keywords, *value.keywords.values(), vars(value)],
    Kind.CACHED: lambda value: [value.__wrapped__, *value.cache_parameters().values()],
    Kind.CELL: lambda value: [*content_of(value)],
    Kind.WEAK: _told_weak,
    Kind.ARRAY: lambda value: [str(value.shape), *value.flat],
}
