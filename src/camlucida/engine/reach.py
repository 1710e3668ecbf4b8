"""What a `forward` can reach: the kinds of values on a network, and which of them can be copied and compared.

The structural copy and the fingerprint follow the same kinds, so that whatever is copied is also compared. What is
neither copied nor compared is used as it is (a lock, a function without state) or refused (an iterator).
"""

from __future__ import annotations

import array
import datetime
import decimal
import enum
import fractions
import functools
import gc
import io
import itertools
import logging
import pathlib
import random
import re
import threading
import types
import uuid
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MAX_OBJECT_NODES = 5_000
"""A foreign object that reaches more values than this (a trainer, say) is not copied."""

MAX_OBJECT_BYTES = 64 * 2**20
"""Nor one that holds more bytes of tensors and arrays of its own (a data set)."""

MAX_SEARCHED = 200_000
"""How many values are looked at to find out whether an object that is not copied refers back to the network."""


class Kind(enum.Enum):
    """How a value is copied and compared."""

    ATOM = enum.auto()
    """Immutable, or used as it is: a number, a string, a class, a lock. Compared by identity, then by value."""
    TENSOR = enum.auto()
    SCRIPT = enum.auto()
    MODULE = enum.auto()
    DICT = enum.auto()
    SEQUENCE = enum.auto()
    """A list, tuple, deque or slice."""
    SET = enum.auto()
    FUNCTION = enum.auto()
    METHOD = enum.auto()
    PARTIAL = enum.auto()
    CACHED = enum.auto()
    """A function with `functools.lru_cache` around it: the copy begins with an empty cache."""
    CELL = enum.auto()
    WEAK = enum.auto()
    """A weak reference or proxy."""
    ARRAY = enum.auto()
    """A NumPy array."""
    BUFFER = enum.auto()
    """Bytes that can be written to, and generators of random numbers: copied whole, compared by their state."""
    OBJECT = enum.auto()
    """An instance of a class written in Python: copied attribute by attribute."""
    OPAQUE = enum.auto()
    """An object of an extension: used as it is, and never known to be unchanged."""
    ITERATOR = enum.auto()
    """Reading it changes it, and it cannot be copied. Also what holds the caller's training: an optimizer."""


RECORDERS = (Kind.DICT, Kind.SEQUENCE, Kind.SET, Kind.OBJECT)
"""What a caller's hook may keep its records in: where no module can be reached from it, it stays the caller's."""

VALUES: tuple[Any, ...] = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    decimal.Decimal,
    fractions.Fraction,
    datetime.date,
)
VALUES += (datetime.time, datetime.timedelta, pathlib.PurePath, uuid.UUID, range, torch.Size, torch.dtype, np.generic)
VALUES += (torch.device, np.dtype, torch.memory_format, torch.layout)
"""Immutable types whose instances are compared by value where they are not the same object."""

HANDLES: tuple[Any, ...] = (
    type,
    types.ModuleType,
    enum.Enum,
    re.Pattern,
    types.CodeType,
    types.GenericAlias,
    logging.Logger,
)
HANDLES += (io.IOBase, type(threading.Lock()), type(threading.RLock()), type(Ellipsis), type(NotImplemented))
HANDLES += (types.WrapperDescriptorType, types.MethodDescriptorType, types.MethodWrapperType, threading.Thread)
HANDLES += (torch._ops.OpOverload, torch._ops.OpOverloadPacket, threading.local, property, logging.Handler)
"""Types whose instances are used as they are: they hold nothing that a layer computes with."""

GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
ITERATORS = (Iterator, types.CoroutineType, types.AsyncGeneratorType)
TRAINING = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, torch.utils.data.DataLoader)

_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8  # flags of CPython's type objects

COPIES_ITSELF = "__deepcopy__"


def kind_of(value: Any) -> Kind:
    """Return how `value` is copied and compared.

    Args:
        value: Any attribute, item or cell content. `type(value)` decides, never `value.__class__`, which a weak
            proxy answers with the class of what it stands for.
    """
    cls = type(value)
    for kind, types_of_kind in _KINDS:
        if issubclass(cls, types_of_kind):
            return kind
    if cls is types.BuiltinFunctionType:
        owner = value.__self__
        return Kind.ATOM if owner is None or isinstance(owner, type | types.ModuleType) else Kind.METHOD
    if issubclass(cls, TRAINING):
        return Kind.ITERATOR
    if is_plain(cls):
        return Kind.OBJECT
    return Kind.ITERATOR if issubclass(cls, ITERATORS) else Kind.OPAQUE


_KINDS: tuple[tuple[Kind, Any], ...] = (
    (Kind.ATOM, VALUES),
    (Kind.TENSOR, Tensor),
    (Kind.SCRIPT, torch.jit.ScriptModule),
    (Kind.MODULE, nn.Module),
    (Kind.DICT, (dict, types.MappingProxyType)),
    (Kind.SEQUENCE, (list, tuple, deque, slice)),
    (Kind.SET, (set, frozenset)),
    (Kind.FUNCTION, types.FunctionType),
    (Kind.METHOD, types.MethodType),
    (Kind.PARTIAL, functools.partial),
    (Kind.CACHED, type(functools.lru_cache(len))),
    (Kind.OBJECT, types.SimpleNamespace),
    (Kind.CELL, types.CellType),
    (Kind.WEAK, (weakref.ref, *weakref.ProxyTypes, weakref.WeakSet, weakref.WeakValueDictionary)),
    (Kind.WEAK, weakref.WeakKeyDictionary),
    (Kind.ARRAY, np.ndarray),
    (Kind.BUFFER, (bytearray, array.array, itertools.count, *GENERATORS)),
    (Kind.ATOM, HANDLES),
)


def is_plain(cls: type) -> bool:
    """Whether instances hold nothing but attributes: every class up to `object` is written in Python."""
    base: type | None = cls
    while base is not None and base is not object:
        if not base.__flags__ & _HEAP_TYPE or base.__flags__ & _IMMUTABLE_TYPE:
            return False
        if base.__module__.startswith("torch._C"):
            return False
        base = base.__base__
    try:
        object.__new__(cls)
    except TypeError:
        return False
    return True


def attributes_of(value: Any) -> dict[str, Any]:
    """All attributes that an instance holds itself, those in slots included."""
    own = dict(getattr(value, "__dict__", None) or {})
    for cls in type(value).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, types.MemberDescriptorType) and name != "__dict__":
                try:
                    own[name] = member.__get__(value)
                except AttributeError:  # a slot that nothing was put into
                    continue
    return own


def referent(value: Any) -> Any:
    """What a weak reference or proxy refers to; None where that is gone."""
    if isinstance(value, weakref.ref):
        return value()
    try:
        return value.__dir__.__self__  # a proxy hands every attribute on, so this is bound to the object itself
    except ReferenceError:
        return None


def content_of(cell: types.CellType) -> tuple[Any, ...]:
    """What a closure's cell holds: one value, or none for a name that is only bound later."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def parts_of(value: Any, kind: Kind) -> list[Any]:
    """The values that `value` holds and through which something else can be reached."""
    match kind:
        case Kind.DICT:
            return [*value.keys(), *value.values()]
        case Kind.SEQUENCE:
            return [value.start, value.stop, value.step] if isinstance(value, slice) else list(value)
        case Kind.SET:
            return list(value)
        case Kind.FUNCTION:
            return [*(value.__closure__ or ()), *held_by_function(value)]
        case Kind.METHOD:
            return [getattr(value, "__func__", None), value.__self__]
        case Kind.PARTIAL:
            return [value.func, *value.args, *value.keywords.values(), *vars(value).values()]
        case Kind.CACHED:
            return [value.__wrapped__]
        case Kind.CELL:
            return list(content_of(value))
        case Kind.WEAK:
            return weakly_held(value)
        case Kind.ARRAY:
            return list(value.flat) if value.dtype.hasobject else []
        case Kind.OBJECT | Kind.MODULE:
            return list(attributes_of(value).values())
    return []


def held_by_function(function: types.FunctionType) -> list[Any]:
    """Default arguments and attributes of a function."""
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return held + [v for k, v in vars(function).items() if k != "__wrapped__"]


def weakly_held(value: Any) -> list[Any]:
    """Everything that a weak reference, proxy or collection refers to and that still lives."""
    if isinstance(value, weakref.WeakSet):
        return list(value)
    if isinstance(value, weakref.WeakValueDictionary | weakref.WeakKeyDictionary):
        return [part for item in list(value.items()) for part in item]
    return [referent(value)]


def reaches_state(value: Any) -> bool:
    """Whether a function, method or tuple leads to anything but constants, so that a copy of it differs."""
    waiting, seen = [value], set[int]()
    while waiting:
        value = waiting.pop()
        kind = kind_of(value)
        if kind is Kind.ATOM or id(value) in seen:
            continue
        seen.add(id(value))
        if kind in (Kind.FUNCTION, Kind.CELL, Kind.METHOD, Kind.PARTIAL, Kind.CACHED) or isinstance(
            value, tuple | frozenset
        ):
            waiting += parts_of(value, kind)
        elif not isinstance(value, slice):
            return True
    return False


def reaches_module(value: Any, most: int = MAX_OBJECT_NODES) -> bool:
    """Whether a module can be reached from `value`, looking at `most` values at the most."""
    waiting, seen = [value], set[int]()
    while waiting and len(seen) < most:
        value = waiting.pop()
        kind = kind_of(value)
        if kind is Kind.MODULE:
            return True
        if kind is not Kind.ATOM and id(value) not in seen:
            seen.add(id(value))
            waiting += parts_of(value, kind)
    return False


def fits(value: Any) -> bool:
    """Whether a foreign object is small enough to be copied, and compared before every run."""
    waiting, seen, nbytes = [value], {id(value)}, 0
    while waiting:
        value = waiting.pop()
        kind = kind_of(value)
        if kind in (Kind.MODULE, Kind.SCRIPT):
            continue  # copied anyway
        if kind in (Kind.TENSOR, Kind.ARRAY):
            nbytes += 0 if isinstance(value, nn.Parameter) else value.nbytes
        if len(seen) > MAX_OBJECT_NODES or nbytes > MAX_OBJECT_BYTES:
            return False
        for part in parts_of(value, kind):
            if kind_of(part) is not Kind.ATOM and id(part) not in seen:
                seen.add(id(part))
                waiting.append(part)
    return True


def refers_to(value: Any, targets: set[int]) -> bool:
    """Whether an object that is not copied keeps one of the objects with these ids alive.

    Args:
        value: The object, of any type: the garbage collector knows what it refers to.
        targets: Ids of the network's modules.

    Returns:
        True also where more than `MAX_SEARCHED` values would have to be looked at.
    """
    waiting, seen = [value], {id(value)}
    while waiting:
        if len(seen) > MAX_SEARCHED:
            return True
        value = waiting.pop()
        if id(value) in targets:
            return True
        if isinstance(value, types.FunctionType):  # not its module's globals, which lead everywhere
            held = [*(value.__closure__ or ()), *held_by_function(value)]
        elif isinstance(value, type | types.ModuleType):
            continue
        else:
            held = gc.get_referents(value)
        for part in held:
            if id(part) not in seen:
                seen.add(id(part))
                waiting.append(part)
    return False
