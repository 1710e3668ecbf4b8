"""Validation of options and other plain arguments by type, range and choices, as the signature declares them.

The annotation of an option of a method, a combinator or a public function declares its valid values:

    n: Count                                 an integer of at least 1
    seed: Seed                               an integer from 0 to 2**63 - 1
    p: Annotated[float, Between(0, 1)]       a number between the two
    reduce: Annotated[str, OneOf(REDUCTIONS)]  one of these words

`check` reads the annotation and raises an error that names the owner of the option, the option, its valid values, its
default and the invalid value. No other code of this package validates single options; only conditions on several
options, or on the image, are checked where they are computed.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from camlucida.errors import CamlucidaError, MethodError, nearest
from camlucida.option_types import (
    MAX_COUNT,
    TYPE_NAMES,
    Between,
    ByteCount,
    Count,
    NotNegative,
    OneOf,
    Option,
    OptionValue,
    Positive,
    Seed,
    is_path,
    shown,
)

__all__ = [
    "MAX_COUNT",
    "Between",
    "ByteCount",
    "Count",
    "NotNegative",
    "OneOf",
    "Option",
    "OptionValue",
    "Positive",
    "Seed",
    "check",
    "check_all",
    "checked_arguments",
    "fields_of",
    "is_path",
    "options_of",
    "shown",
]

P = ParamSpec("P")
R = TypeVar("R")


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
    if annotation in TYPE_NAMES:
        return Option(name, annotation, default, limits, listed, optional)
    plain = type(default) in (int, float, bool, str) and annotation is inspect.Parameter.empty
    return Option(name, type(default) if plain else None, default)
