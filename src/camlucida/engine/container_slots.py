"""Snapshots of the containers in a network's copy: detect changes by identity or state, and restore the contents."""

from __future__ import annotations

import array
import copy
import itertools
import random
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from camlucida.engine.kinds import GENERATORS
from camlucida.engine.reach import content_of
from camlucida.engine.tensor_snapshot import state_bytes


class Slot:
    """The values that one container held, and how to restore them.

    Args:
        container: The container.
        read: Returns its values, in a fixed order.
        put: Writes such values back.
    """

    __slots__ = ("_container", "_put", "_read", "_values", "ids")

    def __init__(self, container: Any, read: Callable[[Any], list[Any]], put: Callable[[Any, list[Any]], None]) -> None:
        self._container, self._read, self._put = container, read, put
        self._keep(read(container))

    def _keep(self, values: list[Any]) -> None:
        self._values, self.ids = values, list(map(id, values))

    @property
    def changed(self) -> bool:
        """Return whether the container holds other objects than those recorded."""
        return list(map(id, self._read(self._container))) != self.ids

    def exchange(self, fresh: dict[int, Any]) -> None:
        """Record other values in place of some of those held.

        Args:
            fresh: Replacement by the id of the value that it replaces.
        """
        if fresh and not fresh.keys().isdisjoint(self.ids):
            self._keep([fresh.get(id(value), value) for value in self._values])

    def write(self) -> None:
        """Write the recorded values back to the container."""
        self._put(self._container, self._values)


class DictSlot(Slot):
    """The slot of a dict, by far the most common container: the check of an unchanged dict is fast."""

    __slots__ = ()

    def __init__(self, container: dict[Any, Any]) -> None:
        super().__init__(container, _items, _put_items)

    @property
    def changed(self) -> bool:
        container = self._container
        return [*map(id, container), *map(id, container.values())] != self.ids


class ModuleSlot(Slot):
    """The slot of a module: its attributes, parameters, buffers and children."""

    __slots__ = ("inside_torch",)

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module, _module_values, _put_module)
        self.inside_torch = type(module).__module__.startswith("torch.")

    @property
    def changed(self) -> bool:
        return list(map(id, _module_values(self._container))) != self.ids


class StateSlot:
    """The slot of an array or a random number generator, whose state is one value."""

    __slots__ = ("_container", "_content", "_state")
    ids: tuple[int, ...] = ()

    def __init__(self, container: Any) -> None:
        self._container, self._state = container, state_bytes(container)
        self._content = container.get_state() if isinstance(container, torch.Generator) else copy.deepcopy(container)

    @property
    def changed(self) -> bool:
        return bool(state_bytes(self._container) != self._state)

    def exchange(self, fresh: dict[int, Any]) -> None:
        """Do nothing: the container holds no tensors."""

    def write(self) -> None:
        """Write the recorded state back to the container."""
        container: Any = self._container
        content: Any = self._content
        if isinstance(container, torch.Generator):
            container.set_state(content)
        elif isinstance(container, np.ndarray):
            container[...] = content
        elif isinstance(container, bytearray | array.array):
            container[:] = content
        elif isinstance(container, random.Random):
            container.setstate(content.getstate())
        elif isinstance(container, np.random.RandomState):
            container.set_state(content.get_state())
        else:
            bits = (container.bit_generator, content.bit_generator) if hasattr(container, "bit_generator") else None
            to, of = bits or (container, content)
            to.state = of.state


class CountSlot(StateSlot):
    """The slot of an `itertools.count`, which cannot be reset: it is replaced by a new one."""

    __slots__ = ()

    def renew(self, fresh: dict[int, Any]) -> None:
        """Add the replacement of the counter to `fresh`, by the id of the old one."""
        before, self._container = self._container, copy.copy(self._content)
        self._content = copy.copy(self._content)
        fresh[id(before)] = self._container

    def write(self) -> None:
        """Do nothing: `exchange` has replaced the counter."""


def slots_of(container: Any) -> Iterator[Slot | StateSlot]:
    """Yield the slots of whatever a forward pass can change in a container."""
    if isinstance(container, nn.Module):
        yield ModuleSlot(container)
    elif isinstance(container, itertools.count):
        yield CountSlot(container)
    elif isinstance(container, (*GENERATORS, bytearray, array.array)) or (
        isinstance(container, np.ndarray) and not container.dtype.hasobject
    ):
        yield StateSlot(container)
    elif isinstance(container, np.ndarray):
        yield Slot(container, lambda a: list(a.flat), _put_flat)
    elif isinstance(container, dict):
        yield DictSlot(container)
    elif isinstance(container, list):
        yield Slot(container, list, lambda c, values: list.__setitem__(c, slice(None), values))
    elif isinstance(container, deque):
        yield Slot(container, list, _put_deque)
    elif isinstance(container, set):
        yield Slot(container, list, _put_set)
    elif isinstance(container, types.CellType):
        yield Slot(container, lambda c: list(content_of(c)), _put_cell)
    elif isinstance(getattr(container, "__dict__", None), dict) or _members(container):
        if isinstance(getattr(container, "__dict__", None), dict):
            yield DictSlot(vars(container))
        if members := _members(container):
            yield Slot(container, lambda c: [m.__get__(c) if _is_set(m, c) else _UNSET for m in members], _put_members)


_UNSET = object()
_TREE = ("_parameters", "_buffers", "_modules")


def _module_values(module: nn.Module) -> list[Any]:
    own = module.__dict__
    values = [*own, *own.values()]
    for name in _TREE:
        if part := own[name]:
            values += (*part, *part.values())
        values.append(len(part))
    return values


def _put_module(module: nn.Module, values: list[Any]) -> None:
    own, values = module.__dict__, list(values)
    parts = {}
    for name in reversed(_TREE):
        count = 2 * values.pop()
        parts[name], values = values[len(values) - count :], values[: len(values) - count]
    _put_items(own, values)
    for name, part in parts.items():
        _put_items(own[name], part)


def _items(container: dict[Any, Any]) -> list[Any]:
    return [*container, *container.values()]


def _put_items(container: dict[Any, Any], values: list[Any]) -> None:
    base: Any = OrderedDict if isinstance(container, OrderedDict) else dict
    base.clear(container)
    half = len(values) // 2
    for key, value in zip(values[:half], values[half:], strict=True):
        base.__setitem__(container, key, value)


def _put_deque(container: deque[Any], values: list[Any]) -> None:
    deque.clear(container)
    deque.extend(container, values)


def _put_set(container: set[Any], values: list[Any]) -> None:
    set.clear(container)
    set.update(container, values)


def _put_cell(cell: types.CellType, values: list[Any]) -> None:
    if values:
        cell.cell_contents = values[0]
    elif content_of(cell):
        del cell.cell_contents


def _put_flat(container: Any, values: list[Any]) -> None:
    for i, value in zip(np.ndindex(container.shape), values, strict=True):
        container[i] = value


def _members(container: Any) -> list[types.MemberDescriptorType]:
    """Return the member descriptors of a class with `__slots__`."""
    own = [m for cls in type(container).__mro__ for m in vars(cls).values()]
    return [m for m in own if isinstance(m, types.MemberDescriptorType) and m.__name__ != "__dict__"]


def _is_set(member: types.MemberDescriptorType, container: Any) -> bool:
    try:
        member.__get__(container)
    except AttributeError:
        return False
    return True


def _put_members(container: Any, values: list[Any]) -> None:
    for member, value in zip(_members(container), values, strict=True):
        if value is not _UNSET:
            member.__set__(container, value)
        elif _is_set(member, container):
            member.__delete__(container)
