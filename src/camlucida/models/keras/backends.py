"""The installed Keras and its backend, which the user chooses; nothing here imports Keras unless it is needed."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from camlucida.errors import MissingExtra, ModelError
from camlucida.models.triton_conflict import import_triton_first, prevent_abort

SUPPORTED = ("torch", "tensorflow")
"""Backends of Keras that can be explained."""

ADVICE = (
    "Choose the backend before Keras is imported: KERAS_BACKEND=torch, which is installed already, or "
    "KERAS_BACKEND=tensorflow, which needs pip install 'camlucida[tensorflow]'."
)


def is_keras_model(value: Any) -> bool:
    """Return whether a value is a Keras model, without importing Keras."""
    keras = sys.modules.get("keras")
    return keras is not None and hasattr(keras, "Model") and isinstance(value, keras.Model)


def is_keras_layer(value: Any) -> bool:
    """Return whether a value is a Keras layer, without importing Keras."""
    keras = sys.modules.get("keras")
    return keras is not None and hasattr(keras, "layers") and isinstance(value, keras.layers.Layer)


def need_keras(what: str) -> ModuleType:
    """Import Keras with the backend that the user chose.

    Args:
        what: The feature that needs it, for the message.

    Raises:
        MissingExtra: Keras or the package of the backend is not installed.
        ModelError: The backend is not supported.
    """
    import_triton_first()
    try:
        keras = importlib.import_module("keras")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "keras":
            raise MissingExtra(
                f"{what} needs the package keras. Install it with: pip install 'camlucida[keras]'"
            ) from None
        chosen = os.environ.get("KERAS_BACKEND")
        origin = f"KERAS_BACKEND={chosen}" if chosen else "KERAS_BACKEND is not set, so Keras uses its default"
        raise MissingExtra(
            f"{what} needs Keras, whose backend cannot be imported: the package {missing} is missing ({origin}). "
            f"{ADVICE}"
        ) from None
    except ValueError as error:  # the name of a backend that does not exist
        raise ModelError(f"{what} needs Keras, which cannot be imported: {error}. {ADVICE}") from None
    prevent_abort()
    backend_name(keras, what)
    return keras


def backend_name(keras: ModuleType, what: str) -> str:
    """Return the backend that Keras runs on. Raises `ModelError` if it is not supported."""
    name = str(keras.backend.backend())
    if name not in SUPPORTED:
        raise ModelError(
            f"{what}: Keras runs on the backend {name!r}, which cannot be explained. Supported are "
            f"{' and '.join(SUPPORTED)}. {ADVICE}"
        )
    return name
