"""Split into training and validation images: that of the dataset, or a stratified random one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from camlucida.data.datasets import Dataset, DatasetHasher, Item
from camlucida.errors import CamlucidaError, DataError

MAX_LISTED = 5
"""Largest number of class names listed in one sentence."""


@dataclass(frozen=True)
class DatasetSplit:
    """Training and validation items of a dataset.

    Attributes:
        train: Indices of the training items.
        val: Indices of the validation items.
        labels: The label of each item; None if it has none.
        names: The name of each item.
        skipped: (name, reason) of each item that cannot be used.
        remarks: Irregularities of the data, one sentence each.
        data: 16 hexadecimal digits that identify the images, labels, boxes and masks.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    labels: tuple[int | None, ...]
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    data: str

    def rows(self) -> list[tuple[str, str]]:
        """Return (name, "train" or "val") of each item that is used."""
        return [(self.names[i], "train") for i in self.train] + [(self.names[i], "val") for i in self.val]


def split_dataset(dataset: Dataset, fraction: float, seed: int) -> DatasetSplit:
    """Return the dataset's own split, or else a stratified random split with `fraction` for validation.

    A dataset with items of the split "val" has its own split. Items of the split "test" are not used. Raises
    `DataError` if the data cannot be trained on.
    """
    _check_classes(dataset)
    items, skipped, data = _read_items(dataset)
    labels = tuple(item.label for item in items)
    usable = [i for i, item in enumerate(items) if item.label is not None and item.split != "test"]
    skipped += [(item.name, "it has no label") for item in items if item.label is None and item.split != "test"]
    has_own_split = any(items[i].split == "val" for i in usable)
    if has_own_split:
        train = [i for i in usable if items[i].split != "val"]
        val = [i for i in usable if items[i].split == "val"]
    else:
        train, val = stratified_split([(i, _known_label(labels[i])) for i in usable], fraction, seed)
    train_counts = Counter(_known_label(labels[i]) for i in train)
    _check_labels(dataset, train_counts, len(items))
    remarks = _remarks(
        dataset, train_counts, Counter(_known_label(labels[i]) for i in val), has_own_split or fraction > 0
    )
    return DatasetSplit(
        tuple(train),
        tuple(val),
        labels,
        tuple(item.name for item in items),
        tuple(skipped),
        tuple(remarks),
        data,
    )


def stratified_split(labelled: Sequence[tuple[int, int]], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return (train, val) with a random `fraction` of each class, rounded, for validation.

    Each class has at least one training item, and at least one validation item if it has two or more.
    """
    rng = np.random.default_rng([seed, 0x5EED])
    train: list[int] = []
    val: list[int] = []
    for label in sorted({label for _, label in labelled}):
        members = [index for index, item_label in labelled if item_label == label]
        n_val = min(max(round(fraction * len(members)), 1), len(members) - 1) if fraction else 0
        chosen = set(rng.permutation(len(members))[:n_val].tolist())
        for position, index in enumerate(members):
            (val if position in chosen else train).append(index)
    return sorted(train), sorted(val)


def _read_items(dataset: Dataset) -> tuple[list[Item], list[tuple[str, str]], str]:
    """Return the items without their images, the items that cannot be loaded, and a digest of the dataset.

    An item that cannot be loaded is represented by one without a label.
    """
    hasher = DatasetHasher(dataset)
    items: list[Item] = []
    skipped: list[tuple[str, str]] = []
    for index in range(len(dataset)):
        try:
            item = dataset[index]
            hasher.add(item)
            items.append(Item("", item.name, item.label, split=item.split))
        except CamlucidaError as error:
            hasher.add(None)
            items.append(Item("", f"item {index}", split="test"))
            skipped.append((f"item {index}", str(error)))
    return items, skipped, hasher.digest()


def _check_classes(dataset: Dataset) -> None:
    if not len(dataset):
        raise DataError(f"{dataset.name} has no images to train on.")
    if len(dataset.classes) < 2:
        has = f"only {dataset.classes[0]!r}" if dataset.classes else "none"
        raise DataError(
            f"training needs two or more classes, and {dataset.name} has {has}. Sub-folders with images are classes."
        )
    duplicated = [name for name, count in Counter(dataset.classes).items() if count > 1]
    if duplicated:
        raise DataError(f"{dataset.name} has two classes named {duplicated[0]!r}. Rename one of them.")


def _check_labels(dataset: Dataset, train_counts: Counter[int], count: int) -> None:
    if len(train_counts) >= 2:
        return
    if not train_counts:
        raise DataError(
            f"none of the {count} images of {dataset.name} has a label and is outside the splits val and test."
        )
    only_class = dataset.classes[next(iter(train_counts))]
    raise DataError(
        f"all training images of {dataset.name} have the class {only_class!r}. Training needs two or more classes."
    )


def _remarks(dataset: Dataset, train_counts: Counter[int], val_counts: Counter[int], has_validation: bool) -> list[str]:
    remarks = []
    names = dict(enumerate(dataset.classes))
    spelling_counts = Counter(" ".join(name.casefold().split()) for name in dataset.classes)
    if similar_names := [name for name in dataset.classes if spelling_counts[" ".join(name.casefold().split())] > 1]:
        remarks.append(
            f"the classes {_join_names(similar_names)} differ only in case or spaces. Are they the same class?"
        )
    if empty := [name for k, name in names.items() if not train_counts[k] and not val_counts[k]]:
        remarks.append(f"{_count_classes(empty)} no images: {_join_names(empty)}")
    if unlearned := [name for k, name in names.items() if not train_counts[k] and val_counts[k]]:
        remarks.append(
            f"{_count_classes(unlearned)} validation images but no training images: {_join_names(unlearned)}"
        )
    if has_validation and (single := [name for k, name in names.items() if train_counts[k] == 1 and not val_counts[k]]):
        remarks.append(
            f"{_count_classes(single)} only one image, which is used for training and not for validation: "
            f"{_join_names(single)}"
        )
    return remarks


def _count_classes(names: Sequence[str]) -> str:
    return "one class has" if len(names) == 1 else f"{len(names)} classes have"


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(map(repr, names[:MAX_LISTED])) + more


def _known_label(label: int | None) -> int:
    assert label is not None
    return label
