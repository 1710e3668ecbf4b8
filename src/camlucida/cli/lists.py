"""Parsing of arguments that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from cyclopts import Parameter

TrustCode: TypeAlias = Annotated[
    bool,
    Parameter(
        negative=(),
        help="Also open a run or record that names python:…, a path, or a model of the hub. A file never may on its "
        "own: it would choose code to run, or a machine to ask.",
    ),
]
"""The option --trust-code of every command that opens a model."""


def split_list(values: Sequence[str] | None) -> list[str] | None:
    """Split values at commas, except inside the brackets of a glob or a combinator."""
    if values is None:
        return None
    parts: list[str] = []
    for value in values:
        depth, start = 0, 0
        for position, character in enumerate(f"{value},"):
            depth += (character in "([") - (character in ")]")
            if character == "," and (depth <= 0 or position == len(value)):
                parts.append(value[start:position].strip())
                start = position + 1
    return [part for part in parts if part]
