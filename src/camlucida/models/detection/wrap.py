"""Recognise detectors that are passed as they are, and make models of them."""

from __future__ import annotations

from typing import Any

from camlucida.models.detection import transformers, ultralytics
from camlucida.models.model import Model

LIBRARIES = (transformers, ultralytics)
"""Modules with `is_detector` and `wrap_detector`."""


def is_detector(value: Any) -> bool:
    """Return whether a value is a detector, of which `wrap_detector` makes a model with boxes as targets."""
    return any(library.is_detector(value) for library in LIBRARIES)


def wrap_detector(value: Any, preprocess: Any, numbers: dict[str, Any]) -> Model:
    """Return the model of a detector.

    Args:
        value: The detector.
        preprocess: As of `wrap`.
        numbers: Parameters of `make_preprocessing`.
    """
    library: Any = next(library for library in LIBRARIES if library.is_detector(value))
    model: Model = library.wrap_detector(value, preprocess, numbers)
    return model
