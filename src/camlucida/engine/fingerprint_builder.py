"""The nodes of a network's fingerprint: which kind of node a value has, and which parts of the value are compared."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from camlucida.engine.fingerprint_nodes import (
    EXACT,
    DictNode,
    Items,
    ModuleNode,
    SameNode,
    ScriptNode,
    SharedNode,
    StateNode,
    TensorNode,
    ValuesNode,
    Walk,
    extra_attributes,
)
from camlucida.engine.kinds import INSIDE_TORCH, RECORDERS, VALUES, Kind, kind_of
from camlucida.engine.reach import attributes_of, content_of, fits, reaches_module, weakly_held


class ClassNode:
    """The fingerprint of a module's class: its functions, the values that these hold, and its own constants.

    For PyTorch's own classes only `forward` is compared.
    """

    def __init__(self, cls: type, builder: FingerprintBuilder) -> None:
        self.cls = cls
        self.inside_torch = cls.__module__.startswith(INSIDE_TORCH)
        self.items = builder.of_class(self._parts())
        functions = [] if self.inside_torch else [f for f in vars(cls).values() if isinstance(f, types.FunctionType)]
        self.constants = [
            (namespace, names, Items([namespace.get(name) for name in names], builder))
            for namespace, names in builder.constants(functions)
        ]

    def _parts(self) -> list[Any]:
        own = vars(self.cls)
        if self.inside_torch:
            forward = own.get("forward")
            return [forward, getattr(forward, "__code__", None)]
        named = [v for k, v in own.items() if not k.startswith("__") or k == "__call__"]
        return named + [v.__code__ for v in named if isinstance(v, types.FunctionType)]

    def same(self, walk: Walk) -> bool:
        return self.items.same(self._parts(), walk) and all(
            items.same([namespace.get(name) for name in names], walk) for namespace, names, items in self.constants
        )


class FingerprintBuilder:
    """Builds the nodes of a network, one per object."""

    def __init__(self) -> None:
        self._nodes: dict[int, Any] = {}
        self._alive: list[Any] = []
        self._classes: dict[type, None] = {}
        self._inside_object = False
        self._among_recorders = False
        self._inside_class = False

    @contextmanager
    def among_recorders(self, among: bool = True) -> Iterator[None]:
        """Compare by identity what a caller's hook may record into, inside the context.

        Lists and objects without modules are shared between the caller and the copy there, so they are never outdated.
        """
        before, self._among_recorders = self._among_recorders, among
        yield
        self._among_recorders = before

    def of_class(self, values: Sequence[Any]) -> Items:
        """Return the attributes of a class as items; closures of its functions are not copied."""
        self._inside_class = True
        items = Items(values, self)
        self._inside_class = False
        return items

    def classes(self) -> list[type]:
        """Return all classes of the modules found, except those that every module has."""
        every = dict.fromkeys(base for cls in self._classes for base in cls.__mro__)
        return [cls for cls in every if cls not in (nn.Module, object)]

    def constants(self, functions: Iterable[types.FunctionType]) -> list[tuple[dict[str, Any], list[str]]]:
        """Return the names of constants and functions that functions read from their modules, by namespace."""
        by_namespace: dict[int, tuple[dict[str, Any], dict[str, None]]] = {}
        for function in functions:
            namespace, names = by_namespace.setdefault(id(function.__globals__), (function.__globals__, {}))
            names.update(dict.fromkeys(n for n in _named(function.__code__) if _is_constant(namespace.get(n))))
        return [(namespace, list(names)) for namespace, names in by_namespace.values() if names]

    def node(self, value: Any) -> Any:
        """Return the node of a value, or None for an atom."""
        if type(value) in EXACT or (type(value) is tuple and all(type(part) in EXACT for part in value)):
            return None  # most values are numbers or tuples of numbers
        known = self._nodes.get(id(value))
        if known is not None:
            return known
        kind = kind_of(value)
        if kind is Kind.ATOM:
            return None
        self._alive.append(value)
        if self._among_recorders and kind in RECORDERS and not reaches_module(value):
            return SameNode(value)
        node = self._nodes[id(value)] = self._new(value, kind)
        if isinstance(node, SharedNode):
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
                return ModuleNode()
            case Kind.SCRIPT:
                return ScriptNode(value)
            case Kind.TENSOR:
                return TensorNode()
            case Kind.DICT:
                return DictNode()
            case Kind.ARRAY if not value.dtype.hasobject:
                return StateNode(value)
            case Kind.BUFFER:
                return StateNode(value)
            case Kind.OBJECT if self._inside_object or fits(value):
                return ValuesNode(_describe_object)
            case Kind.FUNCTION:
                return ValuesNode(_Function(self.constants([value])))
            case Kind.OBJECT | Kind.OPAQUE | Kind.ITERATOR:
                return SameNode(value)
        return ValuesNode(_DESCRIBE[kind])


def _named(code: types.CodeType) -> set[str]:
    """Return the names that code looks up, including those of nested functions."""
    inside = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*map(_named, inside))


def _is_constant(value: Any) -> bool:
    """Return whether a value is a number or a non-empty container of numbers; empty ones are usually filled later."""
    if isinstance(value, dict):
        return all(map(_is_constant, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return len(value) > 0 and all(map(_is_constant, value))
    return isinstance(value, VALUES) and value is not None


class _Function:
    """Lists the parts of a function to compare: its code, and all that it holds or looks up."""

    __slots__ = ("constants",)

    def __init__(self, constants: list[tuple[dict[str, Any], list[str]]]) -> None:
        self.constants = [names for _, names in constants]

    def __call__(self, function: types.FunctionType) -> list[Any]:
        cells = function.__closure__ or ()
        parts = [function.__code__, len(cells), function.__defaults__]
        parts += [part for cell in cells for part in (*content_of(cell), _END)]
        for name, value in (function.__kwdefaults__ or {}).items():
            parts += [name, value]
        for name, value in vars(function).items():
            parts += [] if name == "__wrapped__" else [name, value]
        return parts + [function.__globals__.get(name) for names in self.constants for name in names]


_END = "end of cell"


def _describe_object(value: Any) -> list[Any]:
    own = attributes_of(value)
    return [*own.keys(), *own.values()]


def _describe_weak(value: Any) -> list[Any]:
    if isinstance(value, weakref.WeakMethod):
        method = value()
        return [] if method is None else [method.__func__, method.__self__]
    return weakly_held(value)


def _describe_sequence(value: Any) -> list[Any]:
    if isinstance(value, slice):
        return [value.start, value.stop, value.step]
    return [*value, *extra_attributes(value), getattr(value, "maxlen", None)]


_DESCRIBE: dict[Kind, Callable[[Any], list[Any]]] = {
    Kind.SEQUENCE: _describe_sequence,
    Kind.SET: lambda value: [*value, *extra_attributes(value)],
    Kind.METHOD: lambda value: [getattr(value, "__func__", value.__name__), value.__self__],
    Kind.PARTIAL: lambda value: [value.func, *value.args, *value.keywords, *value.keywords.values(), vars(value)],
    Kind.CACHED: lambda value: [value.__wrapped__, *value.cache_parameters().values()],
    Kind.CELL: lambda value: [*content_of(value)],
    Kind.WEAK: _describe_weak,
    Kind.ARRAY: lambda value: [str(value.shape), *value.flat],
}
