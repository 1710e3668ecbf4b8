"""Describe how two records of settings differ, naming only what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAX_DIFFERENCES = 4
"""Maximum number of differences that are named."""

MAX_LETTERS = 80
"""Maximum number of characters of a value."""


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Return how a stored record differs from the given one, as text; "" if it does not.

    Only the keys of `given` are compared, at the top. In nested mappings and lists only the parts that differ are
    named: "metrics.insertion.steps is 14, not 28; methods lacks 'cam'".

    Args:
        stored: The record as it was read from a file.
        given: The record of the settings that were given now, as JSON values.
    """
    found = [text for key in given for text in _compare(key, stored.get(key), given[key])]
    more = f"; and {len(found) - MAX_DIFFERENCES} more" if len(found) > MAX_DIFFERENCES else ""
    return "; ".join(found[:MAX_DIFFERENCES]) + more


def _compare(name: str, stored: Any, given: Any) -> Iterator[str]:
    if stored == given:
        return
    if isinstance(stored, Mapping) and isinstance(given, Mapping):
        yield from _compare_members(name, stored, given)
    elif _is_list(stored) and _is_list(given):
        yield from _compare_lists(name, stored, given)
    else:
        yield f"{name} is {_short(stored)}, not {_short(given)}"


def _compare_members(name: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    if lacking := [key for key in given if key not in stored]:
        yield f"{name} lacks {_joined(lacking)}"
    if extra := [key for key in stored if key not in given]:
        yield f"{name} also has {_joined(extra)}"
    for key in given:
        if key in stored:
            yield from _compare(f"{name}.{key}", stored[key], given[key])


def _compare_lists(name: str, stored: Sequence[Any], given: Sequence[Any]) -> Iterator[str]:
    """Compare lists as sets of members, which are named by their "name" if they are records."""
    by_name = [{_name(item): item for item in items} for items in (stored, given)]
    if any(len(named) != len(items) for named, items in zip(by_name, (stored, given), strict=True)):
        yield f"{name} is {_short(stored)}, not {_short(given)}"
        return
    texts = list(_compare_members(name, *by_name))
    yield from texts
    if not texts:
        yield f"{name} has another order: {_joined(by_name[0])}, not {_joined(by_name[1])}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _name(item: Any) -> str:
    return str(item["name"]) if isinstance(item, Mapping) and "name" in item else repr(item)


def _joined(names: Any) -> str:
    return _cut(", ".join(map(str, names)))


def _short(value: Any) -> str:
    return "none" if value is None else _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS - 1]}…"
