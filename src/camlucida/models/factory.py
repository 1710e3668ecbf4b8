"""A user's own function that makes a network: python:package.module:factory, or python:path/to/file.py:factory."""

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
    """Import the module and call the function. It returns an `nn.Module`, or a `Model` made by `wrap`."""
    where, colon, name = spec.rpartition(":")
    if not colon or not where or not name:
        raise ModelError(f"python:{spec} needs a module and a function: python:package.module:factory.")
    module = _imported(where)
    if not hasattr(module, name):
        raise ModelError(f"{where} has no {name!r}.{nearest(name, vars(module))}")
    made: Any = getattr(module, name)
    if callable(made) and not isinstance(made, nn.Module | Model):
        try:
            made = made()
        except Exception as error:
            raise ModelError(f"{where}:{name}() raised {type(error).__name__}: {error}.") from error
    else:
        made = copy.deepcopy(made)  # a network that stands in the module stays as it is when weights are loaded
    if isinstance(made, Model):
        return made
    if isinstance(made, nn.Module):
        return Model(made)
    raise ModelError(f"{where}:{name} gave {type(made).__name__}; it must return a torch.nn.Module or a wrapped one.")


def _imported(where: str) -> ModuleType:
    try:
        with _here():
            if where.endswith(".py"):
                return _from_file(Path(where).expanduser())
            return importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"cannot import {where}: {error}. It is looked for here ({Path.cwd()}) and where Python looks."
        ) from None
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"importing {where} raised {type(error).__name__}: {error}.") from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"there is no file {path}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _here() -> Iterator[None]:
    """With the working folder importable, as for `python -m`."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.remove(str(Path.cwd()))
