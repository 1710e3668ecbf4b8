"""`torch.load` with `weights_only`, extended by harmless types that training scripts store with the weights."""

from __future__ import annotations

import argparse
import datetime
import pathlib
import threading
import types
import uuid
import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

_LOCK = threading.Lock()
"""Protects the list of allowed types of `safe_globals`, which torch keeps per process."""


def load_weights_only(path: Path) -> Any:
    """Return the content of a file written by `torch.save`: tensors, plain containers and `harmless_types`.

    Args:
        path: The file. If it requires other types, torch raises `pickle.UnpicklingError` without executing anything.

    Returns:
        The content, on the CPU.
    """
    with (
        _LOCK,
        _allow_harmless(),
        warnings.catch_warnings(action="ignore"),  # torch warns about old pickle protocols
        path.open("rb") as stream,  # a stream, because torch interprets the suffix of a path
    ):
        return torch.load(stream, map_location="cpu", weights_only=True)


def _allow_harmless() -> AbstractContextManager[Any]:
    context: Any = getattr(torch.serialization, "safe_globals", None)  # since torch 2.5
    return nullcontext() if context is None else context(harmless_types())


@cache
def harmless_types() -> list[Any]:
    """Return the types that only store values when constructed: argparse namespaces, paths, dates, NumPy scalars.

    A pair consists of a type and its name in the file, if that differs between versions of Python or NumPy.
    """
    plain: list[Any] = [
        argparse.Namespace,
        types.SimpleNamespace,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        datetime.timezone,
        uuid.UUID,
        pathlib.PurePosixPath,
        pathlib.PureWindowsPath,
        frozenset,
        *(dict, list, int, float),  # factories of a defaultdict
        np.dtype,
        np.ndarray,
        *{type(np.dtype(code)) for code in "?bhilqBHILQefdgSUV"},
        *{np.dtype(code).type for code in "?bhilqBHILQefdg"},
    ]
    if not _supports_named_globals():
        return [*plain, type(pathlib.Path()), np.float64(0).__reduce__()[0], np.empty(0).__reduce__()[0]]
    named: list[Any] = [
        (pathlib.PurePosixPath, f"{module}.{name}")
        for module in ("pathlib", "pathlib._local")
        for name in ("Path", "PosixPath", "PurePosixPath")
    ]
    named += [
        (pathlib.PureWindowsPath, f"{module}.{name}")
        for module in ("pathlib", "pathlib._local")
        for name in ("WindowsPath", "PureWindowsPath")
    ]
    named += [(_plain_dict, "collections.defaultdict"), (_plain_list, "collections.deque")]
    for module in ("numpy.core", "numpy._core"):
        named.append((np.float64(0).__reduce__()[0], f"{module}.multiarray.scalar"))
        named.append((np.empty(0).__reduce__()[0], f"{module}.multiarray._reconstruct"))
    return [*plain, *named]


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """Replace `defaultdict`, which torch can construct but not fill."""
    return {}


def _plain_list(items: Iterable[Any] = (), *_: Any) -> list[Any]:
    """Replace `deque`, which torch can construct but not fill."""
    return list(items)


def _supports_named_globals() -> bool:
    """Return whether this version of torch accepts pairs of a type and its name in the file (since 2.7)."""
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return (major, minor) >= (2, 7)
