"""What can be wrong with a data set: a rule a function, and what it finds a sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from camlucida.data.duplicates import exact, near
from camlucida.data.inspecting import Look

TOLERANCE = 1.0
"""Pixels that a box may stick out: some lists count pixels from 1, some from 0."""
SMALL = 24
UNEVEN = 10
NAMED = 4
"""Names in one sentence."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture: what is said of it, and how it looks.

    outside   its boxes that are not inside of it, each in words
    """

    name: str
    label: int | None
    split: str
    look: Look
    problems: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    kind      its rule
    wrong     whether it should be mended; else it is only good to know
    pictures  which it is about
    """

    kind: str
    wrong: bool
    sentence: str
    pictures: tuple[str, ...] = ()


Rule: TypeAlias = Callable[[Sequence[Seen], Sequence[str]], Iterator[Finding]]


def broken(seen: Sequence[Seen], classes: Sequence[str]) -> Iterator[Finding]:
    """Files that are missing, empty, cut off or no pictures."""
    for one in seen:
        if one.look.error:
            yield Finding("broken", True, f"{one.name}: {one.look.error}", (one.name,))


def notes(seen: Sequence[Seen], classes: Sequence[str]) -> Iterator[Finding]:
    """What the lists and annotations say wrongly of single pictures."""
    for one in seen:
        yield from (Finding("annotation", True, f"{one.name}: {problem}", (one.name,)) for problem in one.problems)


def boxes(seen: Sequence[Seen], classes: Sequence[str]) -> Iterator[Finding]:
    """Boxes that stick out of their pictures, or hold nothing."""
    for one in seen:
        yield from (Finding("box", True, f"{one.name}: {outside}", (one.name,)) for outside in one.outside)


def unlabelled(seen: Sequence[Seen], classes: Sequence[str]) -> Iterator[Finding]:
    """Pictures without a label among others that have one; a whole split without any is meant so."""
    some = {one.split for one in seen if one.label is not None}
    for wrong in (True, False):
        names = tuple(one.name for one in seen if one.label is None and (one.split in some) is wrong)
        if names and some:
            few = f"{_count(names, 'picture has', 'pictures have')} no label: {_list(names)}."
            yield Finding("label", wrong, few if wrong else f"a split has no labels at all: {few}", names)


def names(seen: Sequence[Seen], classes: Sequence[str]) -> Iterator[Finding]:
    """Classes whose names differ by case, spaces, hyphens or underscores only."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike["".join(letter for letter in name.casefold() if letter not in " _-\t.")].append(name)
    for group in alike.values():
        if len(group) > 1:
            yield Finding("class", True, f"{_and(map(repr, group))} are {len(group)} classes: is it one?")


def sizes(seen: Sequence[Seen], classes: Sequence[str]) -> Iterator[Finding]:
    """Classes without pictures, with one, and very uneven ones; what cannot be read does not count."""
    count = Counter(one.label for one in seen if one.label is not None and not one.look.error)
    lone = [classes[label] for label in sorted(count) if count[label] == 1]
    for name in lone:
        yield Finding(
            "class", True, f"the class {name!r} has one picture only: nothing can be learnt and tested on it."
        )
    empty = [name for label, name in enumerate(classes) if not count[label]]
    if empty:
        few = f"{_count(empty, 'class has', 'classes have')} no picture that can be read: {_list(empty)}."
        yield Finding("class", any(one.label is not None and classes[one.label] in empty for one in seen), few)
    if count and max(count.values()) > UNEVEN * min(count.values()):
        (most, many), (least, few_) = count.most_common(1)[0], min(count.items(), key=lambda pair: pair[1])
        uneven = f"the classes are uneven: {many} pictures of {classes[most]!r}, {few_} of {classes[least]!r}."
        yield Finding("class", False, uneven)


def splits(seen: Sequence[Seen], classes: Sequence[str]) -> Iterator[Finding]:
    """Classes that are tested and never learnt."""
    where: dict[str, set[int]] = defaultdict(set)
    for one in seen:
        if one.label is not None and not one.look.error:
            where[one.split].add(one.label)
    for split in sorted(where.keys() - {"train", ""}) if "train" in where else ():
        lost = [classes[label] for label in sorted(where[split] - where["train"])]
        if lost:
            few = _count(lost, "class is", "classes are")
            yield Finding("split", True, f"{few} in {split}, but not in train: {_list(lost)}.")


def same(seen: Sequence[Seen], classes: Sequence[str]) -> Iterator[Finding]:
    """The same file twice: in two splits, under two labels, or just twice."""
    for group in exact([one.look for one in seen]):
        yield _doubled([seen[i] for i in group], classes, "are the same file", True)


def alike(seen: Sequence[Seen], classes: Sequence[str]) -> Iterator[Finding]:
    """Pictures that look the same: wrong where they are in two splits, else good to know."""
    for group in near([one.look for one in seen]):
        yield _doubled([seen[i] for i in group], classes, "look the same", False)


def _doubled(group: Sequence[Seen], classes: Sequence[str], how: str, wrong: bool) -> Finding:
    pictures = tuple(one.name for one in group)
    said = f"{_list(pictures)} {how}"
    parts = sorted({one.split for one in group})
    labels = sorted({one.label for one in group if one.label is not None})
    if len(parts) > 1:
        return Finding("leak", True, f"{said}, in {_and(part or 'no split' for part in parts)}.", pictures)
    if len(labels) > 1:
        return Finding("conflict", wrong, f"{said}, called {_and(repr(classes[k]) for k in labels)}.", pictures)
    return Finding("duplicate" if wrong else "near duplicate", wrong, f"{said}.", pictures)


def forms(seen: Sequence[Seen], classes: Sequence[str]) -> Iterator[Finding]:
    """How pictures are stored: good to know, as every tool reads such ones in its own way."""
    kinds: tuple[tuple[str, Callable[[Look], bool]], ...] = (
        ("grey", lambda look: look.mode in ("1", "L", "LA", "I", "F") or look.mode.startswith("I;16")),
        ("CMYK, whose colours depend on who converts them", lambda look: look.mode == "CMYK"),
        ("with transparency, which is laid on white", lambda look: look.alpha),
        ("turned or mirrored by an EXIF tag, which not every tool obeys", lambda look: look.orientation != 1),
        (f"less than {SMALL} pixels wide or high", lambda look: min(look.size) < SMALL),
    )
    readable = [one for one in seen if not one.look.error]
    for what, applies in kinds:
        found = tuple(one.name for one in readable if applies(one.look))
        if found:
            yield Finding(
                "form", False, f"{_count(found, 'picture is', 'pictures are')} {what}: {_list(found)}.", found
            )


RULES: tuple[Rule, ...] = (broken, notes, unlabelled, names, sizes, splits, boxes, same, alike, forms)
"""In the order in which they are told."""


def _count(things: Sequence[str], one: str, many: str) -> str:
    return f"{len(things):,} {one if len(things) == 1 else many}"


def _list(names: Sequence[str]) -> str:
    """All of a few names, or the first of many."""
    if len(names) <= NAMED + 1:
        return _and(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED:,} more"


def _and(names: Iterable[str]) -> str:
    *front, last = names
    return f"{', '.join(front)} and {last}" if front else last
