"""What the texts of options mean: sizes, numbers, amounts of memory, prompts, lists and targets."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from camlucida.errors import DataError, MethodError, ModelError


def preprocessing_options(
    size: str | None, fit: str | None, mean: str | None = None, std: str | None = None
) -> dict[str, Any]:
    """Return the parameters of `load` for --size, --fit, --mean and --std, without those that are not given."""
    given = {
        "size": None if size is None else input_size(size),
        "fit": fit,
        "mean": None if mean is None else channel_numbers("--mean", mean),
        "std": None if std is None else channel_numbers("--std", std),
    }
    return {name: value for name, value in given.items() if value is not None}


def channel_numbers(option: str, text: str) -> tuple[float, ...]:
    """Return the numbers, one per channel, that --mean or --std names.

    Raises:
        ModelError: The text is not a list of numbers.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ModelError(
            f"{option} {text}: must be one number per channel, separated by commas: 0.5,0.5,0.5."
        ) from None


def input_size(text: str) -> int | tuple[int, int]:
    """Return the network input that --size names: a side, or (height, width).

    Raises:
        ModelError: The text is neither a number of pixels nor two of them.
    """
    match = re.fullmatch(r"([0-9]{1,6})(?:\s*[x×X,]\s*([0-9]{1,6}))?", text.strip())
    if match is None or 0 in (sides := [int(side) for side in match.groups() if side is not None]):
        raise ModelError(f"--size {text}: must be a number of pixels, 448, or HEIGHTxWIDTH, 224x1024.")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def read_prompts(text: str | None) -> list[str] | None:
    """Return the prompts that --prompts names: a file with one per line, several lines, or texts separated by commas.

    Raises:
        ModelError: The file cannot be read.
    """
    if text is None:
        return None
    try:
        path = Path(text).expanduser()
        is_file = path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long for a name
        is_file = False
    if is_file:
        try:
            text = path.read_text(encoding="utf-8") + "\n"
        except (OSError, ValueError) as error:
            raise ModelError(f"--prompts {path}: cannot be read as text: {error}.") from None
    parts = text.splitlines() if "\n" in text else text.split(",")
    return [part.strip() for part in parts if part.strip()]


def byte_count(option: str, text: str) -> int:
    """Return the number of bytes that an option names, such as 500MB, 2GB or 2GiB.

    Raises:
        DataError: The text is no amount of memory.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([kmgt]?)(i?)b?", text.strip(), re.IGNORECASE)
    power = 0 if match is None else " kmgt".index(match[2].lower() or " ")
    n = 0 if match is None else int(float(match[1]) * (1024 if match[3] else 1000) ** power)
    if n < 1:
        raise DataError(f"{option} {text}: must be an amount of memory, such as 500MB, 2GB or 2GiB.")
    return n


def check_opacity(opacity: float) -> None:
    """Raise a `DataError` if an opacity does not lie in [0, 1]."""
    if not 0 <= opacity <= 1:
        raise DataError(f"--opacity {opacity:g} is not between 0 and 1.")


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


_POINT = re.compile(r"((?:^|[\s,])at\s+-?[0-9.]+\s*),(?=\s*-?[0-9.])")
"""The comma between the coordinates of a point: "dog at 120,80", "at 120,80"."""
_IMAGE_TARGET = re.compile(r"\s*(not\s+)?(text|like):")
"""The beginning of a target that holds a text or a file name, with commas of its own."""
_NEXT_TARGET = re.compile(r",(?=\s*(?:not\s+)?(?:text|like):)")
_COMMA = "\x00"
"""Replaces a comma that separates no targets while they are split."""


def split_targets(values: Sequence[str] | None, labels: Sequence[str]) -> list[str] | None:
    """Split targets at commas, except in names such as "crane, bird" and points such as "dog at 120,80", "at 120,80".

    Args:
        values: What was given as --target, which can be repeated.
        labels: The class names of the model; may be empty.
    """
    if values is None:
        return None
    known = {label.casefold() for label in labels if "," in label}
    prompts = [part for value in values if _IMAGE_TARGET.match(value) for part in _NEXT_TARGET.split(value)]
    values = [value for value in values if not _IMAGE_TARGET.match(value)]
    values = [_POINT.sub(rf"\1{_COMMA}", value) for value in values]
    targets: list[str] = []
    for value in values:
        parts = value.split(",")
        start = 0
        while start < len(parts):
            end = next(
                (end for end in range(len(parts), start + 1, -1) if _is_target(",".join(parts[start:end]), known)),
                start + 1,
            )
            targets.append(",".join(parts[start:end]).strip())
            start = end
    found = [target.replace(_COMMA, ",") for target in targets if target]
    return [*found, *(part.strip() for part in prompts)] or [""]


def _is_target(text: str, known: Collection[str]) -> bool:
    """Return whether a text with commas is a known class, "not A", or "A rather than B" with such a class."""
    classes = text.strip().casefold().removeprefix("not ").split(" rather than ")
    with_comma = [name.strip() for name in classes if "," in name]
    return len(classes) <= 2 and bool(with_comma) and all(name in known for name in with_comma)


def voxel(text: str) -> tuple[int, int, int]:
    """Return the voxel that --slice names."""
    numbers = re.fullmatch(r"\s*([0-9]{1,6})\s*,\s*([0-9]{1,6})\s*,\s*([0-9]{1,6})\s*", text)
    if numbers is None:
        raise MethodError(f"--slice {text}: must be a voxel DEPTH,HEIGHT,WIDTH, such as 24,60,31.")
    depth, height, width = map(int, numbers.groups())
    return depth, height, width
