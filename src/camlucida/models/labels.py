"""Class names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from camlucida.errors import ModelError


def class_names(labels: Sequence[str] | str | Path) -> tuple[str, ...]:
    """The names themselves, or those in a text file with one a line, or in a JSON list."""
    if not isinstance(labels, str | Path):
        return tuple(str(label) for label in labels)
    path = Path(labels).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the class names in {path} cannot be read: {error}.") from None
    if text.lstrip("\ufeff").lstrip().startswith("["):
        return json_names(text.lstrip("\ufeff"), what=str(path))
    return tuple(line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip())


def json_names(text: str, *, what: str) -> tuple[str, ...]:
    """The names in a JSON list."""
    try:
        return tuple(str(name) for name in json.loads(text))
    except json.JSONDecodeError as error:
        raise ModelError(f"{what}: this begins like a JSON list of names, but is none ({error}).") from None


@cache
def imagenet_names() -> tuple[str, ...]:
    """The 1000 classes of ImageNet-1k, as torchvision calls them."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])
