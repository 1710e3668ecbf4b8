"""`torch.load` with `weights_only`, and with the few harmless types beside weights that training scripts write."""

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
"""torch keeps the allowed types of `safe_globals` for the whole process."""


def load_weights_only(path: Path) -> Any:
    """Return what a file of `torch.save` holds: tensors, plain containers and the types of `harmless`.

    Args:
        path: The file. What it asks for beyond that is not run: torch raises `pickle.UnpicklingError`.

    Returns:
        The content, on the CPU.
    """
    with (
        _LOCK,
        _allow_harmless(),
        warnings.catch_warnings(action="ignore"),  # torch's, about old pickle protocols
        path.open("rb") as stream,  # not the path: torch judges a file by its suffix
    ):
        return torch.load(stream, map_location="cpu", weights_only=True)


def _allow_harmless() -> AbstractContextManager[Any]:
    context: Any = getattr(torch.serialization, "safe_globals", None)  # since torch 2.5
    return nullcontext() if context is None else context(harmless_types())


@cache
def harmless_types() -> list[Any]:
    """Return the types that hold values and do nothing when they are made: arguments, paths, dates, NumPy's numbers.

    A pair is a type and the name that it has in the file, where that differs between versions of Python or NumPy.
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
        *(dict, list, int, float),  # what a defaultdict makes
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
    """Stand in for `defaultdict`, which torch can make but not fill."""
    return {}


def _plain_list(items: Iterable[Any] = (), *_: Any) -> list[Any]:
    """Stand in for `deque`, which torch can make but not fill."""
    return list(items)


def _supports_named_globals() -> bool:
    """Return whether this torch takes pairs of a type and its name in the file (since 2.7)."""
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return (major, minor) >= (2, 7)
