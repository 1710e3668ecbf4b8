"""Types of options: their ranges and choices, and the conversion of a value to plain Python."""

from __future__ import annotations

import math
import operator
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from camlucida.seeds import MAX_SEED

Task: TypeAlias = Literal["multiclass", "multilabel", "binary", "regression"]
"""How class scores become probabilities, in the words of torchmetrics; see `camlucida.tasks`."""
ModelTask: TypeAlias = Literal[
    "multiclass", "multilabel", "binary", "regression", "segmentation", "multilabel-segmentation"
]
"""What a network does, as of `wrap` and `load`."""
MODEL_TASKS: tuple[str, ...] = get_args(ModelTask)
MAX_EXACT = 2**53
"""The largest integer up to which a float represents every integer exactly."""
MAX_COUNT = 10**6
"""Maximum number of runs, steps or parts, because more would exceed time and memory."""


@dataclass(frozen=True)
class Between:
    """The range of a number.

    Attributes:
        low: Lower end.
        high: Upper end.
        above: Whether the lower end is excluded.
        below: Whether the upper end is excluded.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Return whether a number lies within the range."""
        low = self.low < value if self.above else self.low <= value
        return low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        """Return the range as text: "of at least 0", "from 0 to 1", "above 0 and below 1"."""
        limits = [f"above {self.low:g}" if self.above else f"of at least {self.low:g}"] * math.isfinite(self.low)
        if math.isinf(self.high):
            return "".join(limits)
        high = f"{int(self.high)}" if float(self.high).is_integer() else f"{self.high:g}"
        if limits and not (self.above or self.below):
            return f"from {self.low:g} to {high}"
        return " and ".join([*limits, f"below {high}" if self.below else f"at most {high}"])


@dataclass(frozen=True)
class OneOf:
    """The valid words of a text option.

    Attributes:
        words: The words.
    """

    words: tuple[str, ...]

    def __init__(self, words: Any) -> None:
        object.__setattr__(self, "words", tuple(words))


OptionValue: TypeAlias = bool | int | float | str | Sequence[float]
"""Type of the value of a method's option."""
Seed: TypeAlias = Annotated[int, Between(0, MAX_SEED)]
"""The seed of everything random in a call."""
Count: TypeAlias = Annotated[int, Between(1, MAX_COUNT)]
"""A positive integer."""
ByteCount: TypeAlias = Annotated[int, Between(1, MAX_SEED)]
"""A positive number of bytes."""
Positive: TypeAlias = Annotated[float, Between(0, above=True)]
"""A number above 0."""
NotNegative: TypeAlias = Annotated[float, Between(0)]
"""A number of at least 0."""

TYPE_NAMES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "a string",
    Path: "a path",
    Callable: "a function",
    Mapping: "a dict",
}
"""The types that are checked, as text for messages."""
MAX_NAME_BYTES = 255
"""Maximum length of the name of a file or folder on common file systems."""


@dataclass(frozen=True)
class Option:
    """The valid values of one option.

    Attributes:
        name: Name of the option, as in `n=5`.
        kind: `int`, `float`, `bool`, `str`, `Path`, `Callable` or `Mapping`; for a list, the type of its elements. None
            where any value is valid.
        default: Default value; `inspect.Parameter.empty` without one.
        limits: Range or words, if there are any.
        listed: Whether the value is a list or tuple of such values; it may be empty only where the default is.
        optional: Whether None is valid.
    """

    name: str
    kind: Any
    default: Any
    limits: Between | OneOf | None = None
    listed: bool = False
    optional: bool = False

    @property
    def allowed(self) -> str:
        """The valid values as text: "an integer of at least 1"."""
        if isinstance(self.limits, OneOf):
            description = f"one of {', '.join(self.limits.words)}"
        else:
            limits = f" {self.limits}" if self.limits is not None and str(self.limits) else ""
            description = f"{TYPE_NAMES[self.kind]}{limits}" if self.kind in TYPE_NAMES else "anything"
        description = f"a list of which each element is {description}" if self.listed else description
        return f"{description}, or None" if self.optional else description

    def value(self, given: Any) -> Any:
        """Return a value as plain Python; raise `ValueError` where it is invalid."""
        if self.kind is None or (self.optional and given is None):
            return given
        if not self.listed:
            return self._single(given)
        elements = given if isinstance(given, list | tuple) else ()
        if not elements and (self.default != () or not isinstance(given, list | tuple)):
            raise ValueError
        return tuple(self._single(element) for element in elements)

    def _single(self, given: Any) -> Any:
        value: Any = given
        if self.kind is int or self.kind is float:
            value = _number(given, whole=self.kind is int)
        elif self.kind is Path:
            if not is_path(given):
                raise ValueError
        elif self.kind is Callable:
            if not callable(given):
                raise ValueError
        elif not isinstance(given, self.kind):
            raise ValueError
        if isinstance(self.limits, OneOf) and value not in self.limits.words:
            raise ValueError
        if isinstance(self.limits, Between) and not self.limits.holds(value):
            raise ValueError
        return value


def _number(given: Any, *, whole: bool) -> int | float:
    """Return a number as plain Python, also from NumPy; raise `ValueError` for bools, NaN, infinity and other types."""
    if isinstance(given, bool) or str(getattr(given, "dtype", "")) in ("bool", "torch.bool"):
        raise ValueError
    try:
        number = operator.index(given)
    except (TypeError, RuntimeError):
        pass
    else:
        return number if whole or abs(number) <= MAX_EXACT else _as_float(number)
    if whole or isinstance(given, str | bytes) or not hasattr(type(given), "__float__"):
        raise ValueError
    return _as_float(given)


def _as_float(given: Any) -> float:
    try:
        value = float(given)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError from None
    if not math.isfinite(value):
        raise ValueError
    return value


def is_path(given: Any) -> bool:
    """Return whether a value can be the path of a file or folder, whether it exists or not."""
    text = os.fsdecode(given) if isinstance(given, str | os.PathLike) else ""
    if not text or "\0" in text:
        return False
    return all(len(os.fsencode(part)) <= MAX_NAME_BYTES for part in Path(text).parts)


def shown(value: Any) -> str:
    """Return a value as text for an error message: short, and without a memory address."""
    if isinstance(value, str | bytes | int | float | complex | list | tuple | dict | set | type(None)):
        try:
            return reprlib.repr(value)
        except ValueError:  # more digits than Python converts
            return "a huge number"
    shape = getattr(value, "shape", None)
    kind = type(value).__name__
    return f"a {kind} of the shape {tuple(shape)}" if isinstance(shape, tuple) else f"a {kind}"
