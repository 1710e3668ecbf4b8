"""What a `forward` can reach: the values that a value holds, and a search through all that can be reached from it."""

from __future__ import annotations

import gc
import types
import weakref
from typing import Any

from torch import nn

from camlucida.engine.kinds import INSIDE_TORCH, Kind, kind_of

MAX_OBJECT_NODES = 5_000
"""An object that reaches more values than this (a trainer, for example) is not copied."""

MAX_OBJECT_BYTES = 64 * 2**20
"""An object that holds more bytes of tensors and arrays than this (a dataset, for example) is not copied."""

MAX_SEARCHED = 200_000
"""Maximum number of values visited to find out whether an object that is not copied refers back to the network."""

_NOT_FOLLOWED = (Kind.ATOM, Kind.TENSOR, Kind.OPAQUE, Kind.ITERATOR)


def attributes_of(value: Any) -> dict[str, Any]:
    """Return all attributes that an instance itself holds, including those in slots."""
    own = dict(getattr(value, "__dict__", None) or {})
    for cls in type(value).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, types.MemberDescriptorType) and name != "__dict__":
                try:
                    own[name] = member.__get__(value)
                except AttributeError:  # an unset slot
                    continue
    return own


def referent(value: Any) -> Any:
    """Return the object that a weak reference or proxy refers to, or None if it no longer exists."""
    if isinstance(value, weakref.ref):
        return value()
    try:
        return value.__dir__.__self__  # a proxy forwards attributes, so the method is bound to the referent
    except ReferenceError:
        return None


def content_of(cell: types.CellType) -> tuple[Any, ...]:
    """Return the content of a closure's cell as a tuple, which is empty for a name that is not bound yet."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def parts_of(value: Any, kind: Kind) -> list[Any]:
    """Return the values that `value` holds and through which something else can be reached."""
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
    """Return the default arguments and attributes of a function."""
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return held + [v for k, v in vars(function).items() if k != "__wrapped__"]


def weakly_held(value: Any) -> list[Any]:
    """Return all living objects that a weak reference, proxy or collection refers to."""
    if isinstance(value, weakref.WeakSet):
        return list(value)
    if isinstance(value, weakref.WeakValueDictionary | weakref.WeakKeyDictionary):
        return [part for item in list(value.items()) for part in item]
    return [referent(value)]


def reaches_state(value: Any) -> bool:
    """Return whether a function, method or tuple reaches anything but constants, so that its copy differs."""
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


def reaches_module(value: Any, max_values: int = MAX_OBJECT_NODES) -> bool:
    """Return whether a module can be reached from `value`, visiting at most `max_values` values."""
    waiting, seen = [value], set[int]()
    while waiting and len(seen) < max_values:
        value = waiting.pop()
        kind = kind_of(value)
        if kind is Kind.MODULE:
            return True
        if kind is not Kind.ATOM and id(value) not in seen:
            seen.add(id(value))
            waiting += parts_of(value, kind)
    return False


def fits(value: Any) -> bool:
    """Return whether an object is small enough to be copied, and compared before every run."""
    waiting, seen, nbytes = [value], {id(value)}, 0
    while waiting:
        value = waiting.pop()
        kind = kind_of(value)
        if kind in (Kind.MODULE, Kind.SCRIPT):
            continue  # always copied
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
    """Return whether an object that is not copied keeps one of the given objects alive.

    Args:
        value: The object, of any type: its references are obtained from the garbage collector.
        targets: Ids of the network's modules.

    Returns:
        True also where more than `MAX_SEARCHED` values would have to be visited.
    """
    waiting, seen = [value], {id(value)}
    while waiting:
        if len(seen) > MAX_SEARCHED:
            return True
        value = waiting.pop()
        if id(value) in targets:
            return True
        if isinstance(value, types.FunctionType):  # without the module's globals, which reach nearly everything
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


def leading_to_modules(cls: type) -> dict[str, Any]:
    """Return the functions and other attributes of a class from which a module can be reached, by name."""
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
