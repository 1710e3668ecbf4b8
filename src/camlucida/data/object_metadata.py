"""Metadata of an image from the attributes of its objects, such as their pose and whether they are truncated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MAX_LETTERS = 200
"""Longer texts, such as captions, are no attributes by which images are grouped."""


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are numbers, truth values or short texts; neither NaN nor empty texts."""
    return {str(name): value for name, value in values.items() if is_plain(value)}


def is_plain(value: Any) -> bool:
    """Return whether a value is a number, a truth value or a short text, and not missing."""
    if isinstance(value, str):
        return len(value.strip()) > 0 and len(value) <= MAX_LETTERS
    return isinstance(value, int | float) and value == value


def object_metadata(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the attributes of an image from those of its objects.

    A truth value is whether any object has it, such as "truncated". Other values are those that all objects have in
    common; an attribute with several values, such as two poses, describes no image and is left out.

    Args:
        objects: The attributes of each object.
    """
    attributes: dict[str, Any] = {}
    for name in dict.fromkeys(name for attributes_of_object in objects for name in attributes_of_object):
        values = [attributes_of_object.get(name) for attributes_of_object in objects]
        known = [value for value in values if value is not None]
        if all(isinstance(value, bool) for value in known):
            attributes[name] = any(known)
        elif len(known) == len(values) and len(set(map(repr, values))) == 1:
            attributes[name] = values[0]
    return attributes
