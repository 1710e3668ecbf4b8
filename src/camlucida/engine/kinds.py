"""Kinds of values on a network: how each of them is copied and compared.

The structural copy and the fingerprint use the same kinds, so that whatever is copied is also compared. What is
neither copied nor compared is shared (a lock, a function without state) or refused (an iterator).
"""

from __future__ import annotations

import array
import datetime
import decimal
import enum
import fractions
import functools
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

from camlucida.foreign import SharedReference

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
"""Attributes of `nn.Module` that a forward pass never reads: the copy starts without their contents."""

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
"""Attributes that are empty in nearly all modules, and that no forward pass writes to."""

INSIDE_TORCH = ("torch.",)
"""Packages whose classes hold no user modules or user state in closures or default arguments."""


class Kind(enum.Enum):
    """How a value is copied and compared."""

    ATOM = enum.auto()
    """Immutable, or shared: a number, a string, a class, a lock. Compared by identity, then by value."""
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
    """A function wrapped in `functools.lru_cache`: the copy starts with an empty cache."""
    CELL = enum.auto()
    WEAK = enum.auto()
    """A weak reference or proxy."""
    ARRAY = enum.auto()
    """A NumPy array."""
    BUFFER = enum.auto()
    """Mutable bytes and random number generators: copied as a whole, compared by their state."""
    OBJECT = enum.auto()
    """An instance of a class written in Python: copied attribute by attribute."""
    OPAQUE = enum.auto()
    """An object of an extension: shared, and never known to be unchanged."""
    ITERATOR = enum.auto()
    """Reading it changes it, and it cannot be copied. Also the caller's training objects, such as an optimizer."""


RECORDERS = (Kind.DICT, Kind.SEQUENCE, Kind.SET, Kind.OBJECT)
"""Kinds in which a caller's hook may keep its records: shared where no module can be reached from the value."""

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
HANDLES += (SharedReference,)
"""Types whose instances are used as they are: they hold nothing that a layer computes with."""

GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
ITERATORS = (Iterator, types.CoroutineType, types.AsyncGeneratorType)
TRAINING = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, torch.utils.data.DataLoader)

_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8  # flags of CPython's type objects

COPIES_ITSELF = "__deepcopy__"


def kind_of(value: Any) -> Kind:
    """Return how `value` is copied and compared.

    Args:
        value: Any attribute, item or cell content. `type(value)` decides, not `value.__class__`, which a weak proxy
            forwards to its referent.
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
    """Return whether instances hold nothing but attributes: every base class except `object` is written in Python."""
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
