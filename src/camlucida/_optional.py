"""Optional packages, and the sentence a user gets when one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from camlucida.errors import MissingExtra


def need(module: str, *, extra: str, what: str) -> ModuleType:
    """Import `module`, or say what it is needed for (`what`) and which `extra` brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and not module.startswith(error.name):
            raise  # the package is there, something below it is not: that is not ours to explain
        raise MissingExtra(
            f"{what} needs the package {module.split('.')[0]}. Install it with: pip install 'camlucida[{extra}]'"
        ) from None
