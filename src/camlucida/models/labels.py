"""Reading and validation of class names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from camlucida.errors import ModelError
from camlucida.models.quoting import printable
from camlucida.models.triton_conflict import prevent_abort
from camlucida.options import is_path, shown


def class_names(labels: Sequence[str] | str | Path) -> tuple[str, ...]:
    """Return class names given as a sequence, in a text file with one name per line, or in a JSON list."""
    if isinstance(labels, str | Path) and is_path(labels):
        return _read_names(Path(labels).expanduser())
    value: object = labels
    is_list = isinstance(value, Iterable) and not isinstance(value, str | Path | bytes | Mapping | type)
    if not is_list or getattr(value, "ndim", 1) != 1:
        raise ModelError(
            f"labels must be a list of class names, or a text file with one name per line, not {shown(value)}."
        )
    return tuple(str(label) for label in labels)  # type: ignore[union-attr]


def _read_names(path: Path) -> tuple[str, ...]:
    """Return the names in a text file, one per line or as a JSON list. Raises `ModelError` if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the class names in {path} cannot be read: {error}.") from None
    if text.lstrip().startswith("["):
        return parse_json_names(text, source=str(path))
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def parse_json_names(text: str, *, source: str) -> tuple[str, ...]:
    """Return the names in a JSON list. Raises `ModelError` for anything but a flat list of names or numbers."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError) as error:  # too deeply nested, or a number with too many digits
        raise ModelError(
            f"{source}: the text starts like a JSON list of names, but is not valid JSON "
            f"({printable(error) or type(error).__name__})."
        ) from None
    return check_names(names, source=source)


def check_names(names: Any, *, source: str) -> tuple[str, ...]:
    """Return a list of class names from a file as strings. Raises `ModelError` if it is not such a list."""
    if not isinstance(names, list):
        raise ModelError(f"{source}: expected a list of names, not {type(names).__name__}.")
    invalid = next((name for name in names if isinstance(name, bool) or not isinstance(name, str | int | float)), "")
    if invalid != "":
        raise ModelError(f"{source}: a class name must be a string, not {type(invalid).__name__}.")
    return tuple(str(name) for name in names)


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return torchvision's names of the 1000 classes of ImageNet-1k."""
    prevent_abort()
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])
