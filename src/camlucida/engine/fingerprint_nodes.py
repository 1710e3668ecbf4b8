"""Nodes of a fingerprint: each remembers one value of a network and reports whether a later value equals it.

A node keeps numbers, names and ids, and no reference to the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from camlucida.engine.kinds import TRAINING_ONLY, VALUES
from camlucida.engine.tensor_snapshot import state_bytes

UNREAD = TRAINING_ONLY | {"training", "_non_persistent_buffers_set"}
"""Attributes of `nn.Module` that do not affect what its copy, which is in eval mode, computes."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks")
HOOK_FLAGS = ("_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs")
TREE = ("_parameters", "_buffers", "_modules")


class Walk:
    """The state of one traversal of a network.

    Attributes:
        parameters: The parameters met, in order.
        tensors: The other tensors met, in order.
        seen: Id of the value that was compared with a node, by the id of the node.
    """

    __slots__ = ("parameters", "seen", "tensors")

    def __init__(self) -> None:
        self.parameters: list[Tensor] = []
        self.tensors: list[Tensor] = []
        self.seen: dict[int, int] = {}


class Node(Protocol):
    """The fingerprint of one value."""

    def same(self, value: Any, walk: Walk) -> bool:
        """Return whether `value` still equals the recorded one."""


_PART = object()
EXACT = frozenset(VALUES)


def _equal(now: Any, before: Any) -> bool:
    """Return whether two atoms that are not the same object have the same value."""
    if type(now) is tuple and type(before) is tuple:
        return len(now) == len(before) and all(a is b or _equal(a, b) for a, b in zip(now, before, strict=True))
    if type(now) is not type(before) or not isinstance(now, VALUES):
        return False
    return repr(now) == repr(before) if isinstance(now, float | complex | np.generic) else bool(now == before)


class Builder(Protocol):
    """Builds the nodes of a network's values."""

    def node(self, value: Any) -> Any:
        """Return the node of a value, or None for an atom."""

    def among_recorders(self) -> AbstractContextManager[None]:
        """Compare by identity what a caller's hook may record into, inside the context."""


class Items:
    """An ordered list of values: atoms are compared by value, all others by their nodes."""

    __slots__ = ("atoms", "ids", "parts")

    def __init__(self, values: Sequence[Any], builder: Builder) -> None:
        nodes = [builder.node(value) for value in values]
        self.ids = list(map(id, values))
        self.atoms = [value if node is None else _PART for value, node in zip(values, nodes, strict=True)]
        self.parts = [(i, node) for i, node in enumerate(nodes) if node is not None]

    def same(self, values: Sequence[Any], walk: Walk) -> bool:
        """Return whether `values` equal the recorded ones, position by position."""
        if list(map(id, values)) != self.ids:
            if len(values) != len(self.ids):
                return False
            for now, before, known in zip(values, self.atoms, self.ids, strict=True):
                if id(now) != known and (before is _PART or not _equal(now, before)):
                    return False
        return all(node.same(values[i], walk) for i, node in self.parts) if self.parts else True


class SharedNode:
    """A node that may be met several times in a traversal, also inside itself: it is compared once."""

    __slots__ = ()

    def same(self, value: Any, walk: Walk) -> bool:
        """Return whether `value` equals the recorded one; later encounters compare its identity only."""
        known = walk.seen.get(id(self))
        if known is not None:
            return known == id(value)
        walk.seen[id(self)] = id(value)
        return self.inside(value, walk)

    def inside(self, value: Any, walk: Walk) -> bool:
        """Return whether the contents of `value` equal the recorded ones."""
        raise NotImplementedError


class ModuleNode(SharedNode):
    """The node of a module: its own attributes, parameters, buffers, hooks and children."""

    __slots__ = ("buffers", "children", "cls", "count", "hooks", "items", "parameters", "read")

    def start(self, module: nn.Module, builder: Builder) -> None:
        """Record the contents of the module."""
        own = vars(module)
        self.cls = type(module)
        self.count = len(own)
        named = [k for k in own if k not in UNREAD and k not in TREE and k not in HOOKS and k not in HOOK_FLAGS]
        # One key would make `itemgetter` return the value itself.
        self.read: Callable[[Any], tuple[Any, ...]] = itemgetter(*named, "_parameters", "_parameters")
        self.items = Items(self.read(own)[:-2], builder)
        self.parameters = _names(own["_parameters"])
        self.buffers = _names(own["_buffers"])
        hooked = own["_forward_hooks"] or own["_forward_pre_hooks"]
        with builder.among_recorders():
            self.hooks = [(key, DictNode.of(own[key], builder)) for key in (*HOOKS, *HOOK_FLAGS)] if hooked else None
        self.children = [(k, None if v is None else builder.node(v)) for k, v in own["_modules"].items()]

    def inside(self, module: Any, walk: Walk) -> bool:
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


class ScriptNode:
    """The node of a scripted module: its weights are copied with it, so they are compared by their bytes."""

    __slots__ = ("attributes", "cls")

    def __init__(self, module: Any) -> None:
        self.cls = type(module)
        self.attributes = _scripted(module)

    def same(self, module: Any, walk: Walk) -> bool:
        if type(module) is not self.cls or _scripted(module) != self.attributes:
            return False
        walk.tensors += module.parameters()
        walk.tensors += module.buffers()
        return True


def _scripted(module: Any) -> list[str]:
    """Return the numbers and strings among the attributes of a scripted module, as text."""
    fingerprints = []
    for name, part in module.named_modules():
        attributes: Any = getattr(getattr(part, "_concrete_type", None), "get_attributes", dict)()
        fingerprints += [f"{name}.{key}={getattr(part, key)!r}" for key in attributes if key not in ("training",)]
    return [text for text in fingerprints if "tensor(" not in text]


class TensorNode:
    """The node of a loose tensor or parameter."""

    __slots__ = ()

    def same(self, value: Any, walk: Walk) -> bool:
        if not isinstance(value, Tensor):
            return False
        (walk.parameters if isinstance(value, nn.Parameter) else walk.tensors).append(value)
        return True


class DictNode(SharedNode):
    """The node of a dict of any class: its keys and values, in order."""

    __slots__ = ("cls", "extra", "items", "keys")

    @staticmethod
    def of(value: Any, builder: Builder) -> DictNode:
        """Return the node of a dict."""
        node = DictNode()
        node.start(value, builder)
        return node

    def start(self, value: Any, builder: Builder) -> None:
        """Record the contents of the dict."""
        self.cls = type(value)
        self.keys = Items(list(value.keys()), builder)
        self.items = Items(list(value.values()), builder)
        self.extra = Items(extra_attributes(value), builder)

    def inside(self, value: Any, walk: Walk) -> bool:
        return (
            type(value) is self.cls
            and self.keys.same(list(value.keys()), walk)
            and self.items.same(list(value.values()), walk)
            and self.extra.same(extra_attributes(value), walk)
        )


class ValuesNode(SharedNode):
    """The node of a value that can be listed: lists, tuples, sets, slices, partials, methods, weak references.

    Args:
        tell: Returns the parts of the value, in a fixed order.
    """

    __slots__ = ("cls", "items", "tell")

    def __init__(self, tell: Callable[[Any], list[Any]]) -> None:
        self.tell = tell

    def start(self, value: Any, builder: Builder) -> None:
        """Record the parts of the value."""
        self.cls = type(value)
        self.items = Items(self.tell(value), builder)

    def inside(self, value: Any, walk: Walk) -> bool:
        return type(value) is self.cls and self.items.same(self.tell(value), walk)


class StateNode:
    """The node of a value whose state can be read as bytes: arrays and random number generators."""

    __slots__ = ("cls", "state")

    def __init__(self, value: Any) -> None:
        self.cls, self.state = type(value), state_bytes(value)

    def same(self, value: Any, walk: Walk) -> bool:
        return type(value) is self.cls and state_bytes(value) == self.state


class SameNode:
    """The node of an object compared by identity, since the copy holds the object itself or refuses to use it."""

    __slots__ = ("number",)

    def __init__(self, value: Any) -> None:
        self.number = id(value)

    def same(self, value: Any, walk: Walk) -> bool:
        return id(value) == self.number


def extra_attributes(value: Any) -> list[Any]:
    """Return the attributes of an instance of a container subclass, and the factory of a `defaultdict`."""
    own = getattr(value, "__dict__", None)
    return [*(own or {}).keys(), *(own or {}).values(), getattr(value, "default_factory", None)]
