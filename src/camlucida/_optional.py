"""Import optional packages, with a helpful error where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from camlucida.errors import MissingExtra


def need(module: str, *, extra: str, what: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: Name of the module.
        extra: The extra of this package that installs it.
        what: The feature that needs it, for the message.

    Raises:
        MissingExtra: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and not module.startswith(error.name):
            raise  # the package is installed, but one of its own dependencies is missing
        raise MissingExtra(
            f"{what} needs the package {module.split('.')[0]}. Install it with: pip install 'camlucida[{extra}]'"
        ) from None
