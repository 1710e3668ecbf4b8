"""JSON of findings: NaN and infinities, which JSON does not have, become null."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any


def json_values(value: Any) -> Any:
    """Return dataclasses, containers and numbers of NumPy as values that JSON has.

    A number that is not finite becomes None, and anything that JSON has no type for becomes text.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): json_values(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_values(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "tolist"):
        return json_values(value.tolist())
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [json_values(item) for item in value]
    return str(value)


def number(value: Any) -> float:
    """Return a number of a stored finding; NaN for null."""
    return math.nan if value is None else float(value)
