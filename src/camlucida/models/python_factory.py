"""Networks from a function of the user: python:package.module:factory, or python:path/to/file.py:factory."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from camlucida.errors import ModelError, nearest
from camlucida.models.model import Model


def load(spec: str, pretrained: bool = True) -> Model:
    """Import the module and call the function, which returns a `Model` made by `wrap`, or what `wrap` takes."""
    from camlucida.models.load import wrap  # which imports this module

    module_name, colon, name = spec.rpartition(":")
    if not colon or not module_name or not name:
        raise ModelError(f"python:{spec} needs a module and a function: python:package.module:factory.")
    module = _import_module(module_name)
    if not hasattr(module, name):
        raise ModelError(f"{module_name} has no {name!r}.{nearest(name, vars(module))}")
    result: Any = getattr(module, name)
    if callable(result) and not isinstance(result, nn.Module | Model):
        try:
            result = result()
        except Exception as error:
            raise ModelError(f"{module_name}:{name}() raised {type(error).__name__}: {error}.") from error
    else:
        result = copy.deepcopy(result)  # loading weights must not modify the network in the module
    if isinstance(result, Model):
        return result
    try:
        return wrap(result)
    except ModelError as error:
        raise ModelError(f"{module_name}:{name} returned {type(result).__name__}: {error}") from None


def _import_module(module_name: str) -> ModuleType:
    try:
        with _cwd_importable():
            if module_name.endswith(".py"):
                return _from_file(Path(module_name).expanduser())
            return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"cannot import {module_name}: {error}. Searched in {Path.cwd()} and on Python's path."
        ) from None
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"importing {module_name} raised {type(error).__name__}: {error}.") from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"the file {path} does not exist.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _cwd_importable() -> Iterator[None]:
    """Make the working directory importable, as with `python -m`."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.remove(str(Path.cwd()))
