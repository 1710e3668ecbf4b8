"""Further inputs of a network on the command line, NAME=FILE, and options of methods, NAME=VALUE."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camlucida.errors import DataError, MethodError


def read_inputs(pairs: Sequence[str]) -> dict[str, Any]:
    """Return the inputs in NAME=FILE pairs by name.

    A .npy or .pt file holds a tensor (code is never unpickled), a .json file numbers, which become a tensor, or another
    value, such as true or null, which is passed as it is. Any other file is an image, which the model preprocesses.

    Raises:
        DataError: A pair has another form, or a file cannot be read.
    """
    inputs: dict[str, Any] = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals or not name.strip() or not file:
            raise DataError(f"--input {pair}: expected the form name=file.")
        inputs[name.strip()] = _read(Path(file).expanduser())
    return inputs


def _read(path: Path) -> Any:
    reader = {".npy": _read_npy, ".pt": _read_pt, ".pth": _read_pt, ".json": _read_json}.get(path.suffix.lower())
    if reader is None:
        return path
    try:
        return reader(path)
    except Exception as error:  # NumPy, PyTorch and JSON raise errors of many types on damaged files
        raise DataError(f"--input: {path} cannot be read: {' '.join(str(error).split())[:200]}.") from error


def _read_npy(path: Path) -> Any:
    import numpy as np
    import torch

    return torch.from_numpy(np.load(path, allow_pickle=False))


def _read_pt(path: Path) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _read_json(path: Path) -> Any:
    import torch

    value = json.loads(path.read_text(encoding="utf-8"))
    return torch.tensor(value) if isinstance(value, list) else value


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Return the options of a method in NAME=VALUE pairs by name."""
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise MethodError(f"--option {pair}: expected the form name=value.")
        try:
            options[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name.strip()] = value
    return options
