"""What several commands do with their arguments."""

from __future__ import annotations

from collections.abc import Sequence


def split(values: Sequence[str] | None) -> list[str] | None:
    """Commas separate, except inside the brackets of a glob or a combinator."""
    if values is None:
        return None
    parts: list[str] = []
    for value in values:
        depth, begin = 0, 0
        for position, letter in enumerate(f"{value},"):
            depth += (letter in "([") - (letter in ")]")
            if letter == "," and (depth <= 0 or position == len(value)):
                parts.append(value[begin:position].strip())
                begin = position + 1
    return [part for part in parts if part]
