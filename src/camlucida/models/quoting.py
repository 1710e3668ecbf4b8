"""Sanitising of text from files for messages: on one line, shortened, without terminal control characters."""

from __future__ import annotations

from typing import Any


def quoted(thing: Any, length: int = 80) -> str:
    """Return a value from a file as one line of printable ASCII in quotes, shortened."""
    text = ascii(thing) if isinstance(thing, str | int | float | bool | None) else f"a {type(thing).__name__}"
    return text if len(text) <= length else f"{text[: length - 1]}…"


def printable(text: object, length: int = 80) -> str:
    """Return text from a file with all unprintable characters escaped, shortened."""
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text)[: length + 1])
    return escaped if len(escaped) <= length else f"{escaped[: length - 1]}…"
