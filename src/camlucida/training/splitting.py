"""Which pictures are learned from and which are looked at: the data set's own split, or one drawn by lot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from camlucida.data.datasets import DataSet, Identity, Item
from camlucida.errors import CamlucidaError, DataError

SHOWN = 5


@dataclass(frozen=True)
class Split:
    """Indices into a data set.

    labels   of all its items, None where there is none
    names    of all its items
    skipped  (name, reason) of what cannot be learned from
    remarks  sentences about what is odd
    data     16 hex digits: which images with which labels, boxes and masks these are
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    labels: tuple[int | None, ...]
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    data: str

    def rows(self) -> list[tuple[str, str]]:
        """(name, train or val) of each picture that takes part."""
        return [(self.names[i], "train") for i in self.train] + [(self.names[i], "val") for i in self.val]


def split(dataset: DataSet, share: float, seed: int) -> Split:
    """Its own parts "train" and "val" where items say so; else `share` of each class for validation, by lot.

    Pictures of the part "test" are left alone. Raises `DataError` for what cannot be learned from.
    """
    _check_classes(dataset)
    items, skipped, data = _items(dataset)
    labels = tuple(item.label for item in items)
    usable = [i for i, item in enumerate(items) if item.label is not None and item.split != "test"]
    skipped += [(item.name, "it has no label") for item in items if item.label is None and item.split != "test"]
    own = any(items[i].split == "val" for i in usable)
    if own:
        train = [i for i in usable if items[i].split != "val"]
        val = [i for i in usable if items[i].split == "val"]
    else:
        train, val = drawn([(i, _label(labels[i])) for i in usable], share, seed)
    held = Counter(_label(labels[i]) for i in train)
    _check(dataset, held, len(items))
    remarks = _remarks(dataset, held, Counter(_label(labels[i]) for i in val), own or share > 0)
    return Split(
        tuple(train),
        tuple(val),
        labels,
        tuple(item.name for item in items),
        tuple(skipped),
        tuple(remarks),
        data,
    )


def drawn(labelled: Sequence[tuple[int, int]], share: float, seed: int) -> tuple[list[int], list[int]]:
    """(train, val): `share` of each class by lot, rounded; at least one to learn from, and one to look at if there are
    two or more."""
    rng = np.random.default_rng([seed, 0x5EED])
    train: list[int] = []
    val: list[int] = []
    for label in sorted({label for _, label in labelled}):
        members = [index for index, of in labelled if of == label]
        count = min(max(round(share * len(members)), 1), len(members) - 1) if share else 0
        chosen = set(rng.permutation(len(members))[:count].tolist())
        for place, index in enumerate(members):
            (val if place in chosen else train).append(index)
    return sorted(train), sorted(val)


def _items(dataset: DataSet) -> tuple[list[Item], list[tuple[str, str]], str]:
    """What is known of each item, without its picture; one that cannot be had has no label. And a digest of all."""
    known = Identity(dataset)
    items: list[Item] = []
    skipped: list[tuple[str, str]] = []
    for index in range(len(dataset)):
        try:
            item = dataset[index]
            known.add(item)
            items.append(Item("", item.name, item.label, split=item.split))
        except CamlucidaError as error:
            known.add(None)
            items.append(Item("", f"item {index}", split="test"))
            skipped.append((f"item {index}", str(error)))
    return items, skipped, known.digest()


def _check_classes(dataset: DataSet) -> None:
    if not len(dataset):
        raise DataError(f"{dataset.name} has no pictures to learn from.")
    if len(dataset.classes) < 2:
        has = f"only {dataset.classes[0]!r}" if dataset.classes else "none"
        raise DataError(
            f"{dataset.name} needs two or more classes to learn and has {has}. Sub-folders with pictures are classes."
        )
    twice = [name for name, count in Counter(dataset.classes).items() if count > 1]
    if twice:
        raise DataError(f"{dataset.name} has two classes called {twice[0]!r}: give one of them another name.")


def _check(dataset: DataSet, held: Counter[int], count: int) -> None:
    if len(held) >= 2:
        return
    if not held:
        raise DataError(f"none of the {count} pictures of {dataset.name} has a label and may be learned from.")
    only = dataset.classes[next(iter(held))]
    raise DataError(f"all pictures of {dataset.name} that may be learned from are of the class {only!r}.")


def _remarks(dataset: DataSet, held: Counter[int], seen: Counter[int], validates: bool) -> list[str]:
    remarks = []
    names = dict(enumerate(dataset.classes))
    alike = Counter(" ".join(name.casefold().split()) for name in dataset.classes)
    if twins := [name for name in dataset.classes if alike[" ".join(name.casefold().split())] > 1]:
        remarks.append(f"the classes {_list(twins)} differ in capitals or spaces only: are they one?")
    if empty := [name for k, name in names.items() if not held[k] and not seen[k]]:
        remarks.append(f"{_classes(empty)} no picture: {_list(empty)}")
    if unlearned := [name for k, name in names.items() if not held[k] and seen[k]]:
        remarks.append(f"{_classes(unlearned)} pictures to validate on but none to learn from: {_list(unlearned)}")
    if validates and (single := [name for k, name in names.items() if held[k] == 1 and not seen[k]]):
        remarks.append(f"{_classes(single)} one picture only, which is learned from and never checked: {_list(single)}")
    return remarks


def _classes(names: Sequence[str]) -> str:
    return "one class has" if len(names) == 1 else f"{len(names)} classes have"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


def _label(label: int | None) -> int:
    assert label is not None
    return label
