"""Tensors inside the outputs of networks: nested tuples, lists, dicts, dataclasses and `ModelOutput`s."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

Path = tuple[Any, ...]
"""How to reach a tensor in an output: keys, indices or attribute names, outermost first."""


def children(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the (key, part) pairs of a container; nothing for other values."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))


def tensors(value: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Yield every tensor in `value` with its path, in order."""
    if isinstance(value, Tensor):
        yield path, value
        return
    for key, part in children(value):
        yield from tensors(part, (*path, key))


def transform(value: Any, change: Callable[[Path, Tensor], Tensor], path: Path = ()) -> Any:
    """Return the same structure with every tensor replaced by `change(path, tensor)`; `value` is not modified."""
    if isinstance(value, Tensor):
        return change(path, value)
    changed = {key: transform(part, change, (*path, key)) for key, part in children(value)}
    if all(changed[key] is part for key, part in children(value)):
        return value
    return _rebuild(value, changed)


def replace_tensor(value: Any, old: Tensor, new: Tensor) -> Any:
    """Return the same structure with one tensor replaced wherever it occurs."""
    return transform(value, lambda _, tensor: new if tensor is old else tensor)


def _rebuild(value: Any, parts: dict[Any, Any]) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*parts.values())
    if isinstance(value, list | tuple):
        return type(value)(list(parts.values()))
    rebuilt = copy.copy(value)  # keeps the class of dicts (OrderedDict, ModelOutput) and of dataclasses
    for key, part in parts.items():
        if isinstance(value, Mapping):
            rebuilt[key] = part
        else:
            object.__setattr__(rebuilt, key, part)
    return rebuilt
