"""Validation of options and other plain arguments by type, range and choices, as the signature declares them.

The annotation of an option of a method, a combinator or a public function declares its valid values:

    n: Count                                 a whole number from 1 on
    seed: Seed                               a whole number from 0 to 2**63 - 1
    p: Annotated[float, Between(0, 1)]       a number between the two
    reduce: Annotated[str, OneOf(REDUCTIONS)]  one of these words

`check` reads the annotation and raises an error that names the owner of the option, the option, its valid values, its
default and the invalid value. No other code of this package validates single options; only conditions on several
options, or on the image, are checked where they are computed.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from camlucida.errors import CamlucidaError, MethodError, nearest
from camlucida.seeds import MAX_SEED

P = ParamSpec("P")
R = TypeVar("R")

MAX_EXACT = 2**53
"""The largest whole number below which a float represents every whole number exactly."""
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
        low = f"above {self.low:g}" if self.above else f"from {self.low:g}"
        if math.isinf(self.high):
            return "" if math.isinf(self.low) else (low if self.above else f"{low} on")
        high = f"{int(self.high)}" if float(self.high).is_integer() else f"{self.high:g}"
        return f"{low} to {'below ' if self.below else ''}{high}"


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
"""A positive whole number."""
Positive: TypeAlias = Annotated[float, Between(0, above=True)]
"""A number above 0."""
NotNegative: TypeAlias = Annotated[float, Between(0)]
"""A number of at least 0."""

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
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
        """The valid values as text: "a whole number from 1 on"."""
        if isinstance(self.limits, OneOf):
            description = f"one of {', '.join(self.limits.words)}"
        else:
            limits = f" {self.limits}" if self.limits is not None and str(self.limits) else ""
            description = f"{_WORDS[self.kind]}{limits}" if self.kind in _WORDS else "anything"
        return (f"a list, each of it {description}" if self.listed else description) + (
            ", or None" if self.optional else ""
        )

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


def check(owner: str, option: Option, given: Any, *, error: type[CamlucidaError] = MethodError) -> Any:
    """Return the value of an option as plain Python.

    Args:
        owner: Name of the method or function that has the option, for the message.
        option: The valid values.
        given: The value.
        error: The class of the error to raise.

    Raises:
        CamlucidaError: Of the class `error`: the value has another type, is out of range, or is none of the words.
    """
    try:
        return option.value(given)
    except ValueError:
        words = option.limits.words if isinstance(option.limits, OneOf) else ()
        hint = nearest(given, words) if isinstance(given, str) else ""
        default = "" if option.default is inspect.Parameter.empty else f" (by default {option.default!r})"
        raise error(f"{owner}: {option.name} is {option.allowed}{default}, not {shown(given)}.{hint}") from None


def check_all(
    owner: str, options: Mapping[str, Option], given: Mapping[str, Any], *, error: type[CamlucidaError] = MethodError
) -> dict[str, Any]:
    """Return options as plain Python values.

    Args:
        owner: Name of the method or function that has the options, for the message.
        options: The valid values, by name.
        given: The values, by name.
        error: The class of the error to raise.

    Raises:
        CamlucidaError: Of the class `error`: an option does not exist, or its value is invalid.
    """
    for name in given:
        if name not in options:
            have = ", ".join(f"{option.name}={option.default!r}" for option in options.values()) or "none"
            raise error(f"{owner} has no option {name!r}.{nearest(str(name), options)} Its options: {have}.")
    return {name: check(owner, options[name], value, error=error) for name, value in given.items()}


def checked_arguments(error: type[CamlucidaError]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that validates the plain arguments of a public function before it runs.

    Parameters annotated with numbers, words, paths, functions and dicts are checked; those of other types are left to
    the function.

    Args:
        error: The class of the error to raise.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            for name, option in _arguments_of(function).items():
                if name in bound.arguments:
                    bound.arguments[name] = check(function.__name__, option, bound.arguments[name], error=error)
            return function(*bound.args, **bound.kwargs)

        return call

    return decorate


@cache
def _arguments_of(function: Callable[..., Any]) -> dict[str, Option]:
    named = (
        p for p in inspect.signature(function).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    )
    options = (_option(p.name, _annotation(function, p.annotation), p.default) for p in named)
    return {option.name: option for option in options if option.kind is not None}


@cache
def options_of(function: Callable[..., Any]) -> dict[str, Option]:
    """Return the valid values of a function's keyword-only parameters, by name."""
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: _option(p.name, _annotation(function, p.annotation), p.default)
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }


def fields_of(settings: type[Any]) -> dict[str, Option]:
    """Return the valid values of a dataclass's fields, by name."""
    hints = get_type_hints(settings, include_extras=True)
    return {field.name: _option(field.name, hints[field.name], field.default) for field in fields(settings)}


def _annotation(function: Callable[..., Any], annotation: Any) -> Any:
    """Evaluate an annotation that `from __future__ import annotations` left as text, in the globals of its function."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, getattr(inspect.unwrap(function), "__globals__", {}))
    except (NameError, AttributeError, TypeError, SyntaxError):
        return inspect.Parameter.empty


def _option(name: str, annotation: Any, default: Any) -> Option:
    limits: Between | OneOf | None = None
    optional = False
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        optional = len(members) < len(get_args(annotation))
        paths = all(member in (str, Path, os.PathLike) or get_origin(member) is os.PathLike for member in members)
        annotation = Path if paths and len(members) > 1 else members[0] if len(members) == 1 else None
    listed = get_origin(annotation) is tuple
    if listed:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Annotated:
        annotation, *marks = get_args(annotation)
        limits = next((mark for mark in marks if isinstance(mark, Between | OneOf)), None)
    if get_origin(annotation) is Literal:
        limits, annotation = OneOf(get_args(annotation)), str
    if get_origin(annotation) in (Callable, Mapping):
        annotation = get_origin(annotation)
    if annotation in _WORDS:
        return Option(name, annotation, default, limits, listed, optional)
    plain = type(default) in (int, float, bool, str) and annotation is inspect.Parameter.empty
    return Option(name, type(default) if plain else None, default)


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
