"""Data sets as this package sees them: pictures with what is known about them, one interface for all.

A data set is anything with a `name`, `classes`, a length and items by number:

    item = dataset[3]
    item.image, item.label, item.boxes, item.mask, item.parts
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from camlucida.data import toybox
from camlucida.data.images import Source
from camlucida.errors import DataError
from camlucida.options import shown
from camlucida.seeds import check_seed

Mask: TypeAlias = NDArray[np.bool_]
Boxes: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Item:
    """One picture with what is known about it.

    image   whatever `load_image` reads: a path, or a picture; read when it is wanted, so it may turn out broken
    name    of it in tables: unique in its data set
    label   its class: an index into the data set's `classes`, or None where it is not known
    boxes   (n, 4) left, top, right, bottom in pixels of the picture, right and bottom exclusive; None if not known
    mask    makes the (height, width) pixels of the object; None if not known. A function, so that a million masks
            need no memory
    parts   makes name -> (height, width) for the object's parts; None if not known
    split   "train", "val", "test" or ""
    others  classes that are right, too, besides `label`
    rival   makes the (height, width) pixels of the objects of other classes; None if there are none, or not known
    without draws the same picture again without one of its parts, by name; None if that cannot be done
    problems what is wrong with what is known about it, in sentences; the rest of it holds
    files   that masks and parts are read from: when one of them changes, the item has changed
    """

    image: Source
    name: str
    label: int | None = None
    boxes: Boxes | None = None
    mask: Callable[[], Mask] | None = None
    parts: Callable[[], Mapping[str, Mask]] | None = None
    split: str = ""
    also_correct: tuple[int, ...] = ()
    other_objects_mask: Callable[[], Mask] | None = None
    render_without: Callable[[str], Source] | None = None
    problems: tuple[str, ...] = ()
    files: tuple[Any, ...] = ()


class Dataset(Protocol):
    """What can be evaluated, trained on and audited."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What its labels mean; empty where it has none."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item: ...


@dataclass(frozen=True, eq=False)
class ListDataset:
    """A data set that is a list.

    exact     whether it was drawn, so that its masks are the truth, not somebody's outline
    problems  what is wrong with it as a whole, in sentences
    """

    name: str
    items: Sequence[Item]
    classes: tuple[str, ...] = ()
    exact: bool = False
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]


@dataclass(frozen=True, eq=False)
class LazyItems(Sequence[Item]):
    """Items whose boxes and the like are read from files of their own when the item is asked for.

    known    what the lists say: image, name, label, split
    finish   adds the rest
    """

    items: Sequence[Item]
    complete: Callable[[Item], Item]

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> LazyItems: ...
    def __getitem__(self, index: int | slice) -> Item | LazyItems:
        if isinstance(index, slice):
            return LazyItems(self.items[index], self.complete)
        return self.complete(self.items[index])


@dataclass(frozen=True, eq=False)
class ToyboxDataset:
    """toybox as a data set: drawn when asked for, with exact masks, boxes and parts of the first object."""

    scenes: toybox.Toybox
    name: str = "toybox"
    classes: tuple[str, ...] = field(default=toybox.CLASSES)
    exact: bool = True

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Item:
        sample = self.scenes[index]
        if sample.label < 0:
            return Item(sample.image, f"scene {index}")
        drawing = sample.drawing
        boxes = np.array([drawing.boxes[0]], dtype=np.float64)
        competing_classes = [i for i, label in enumerate(sample.labels) if label != sample.label]
        return Item(
            sample.image,
            f"scene {index}",
            sample.label,
            boxes,
            lambda: drawing.masks[0],
            lambda: drawing.parts[0],
            also_correct=tuple(sample.labels[i] for i in competing_classes),
            other_objects_mask=(lambda: np.logical_or.reduce(drawing.masks[competing_classes]))
            if competing_classes
            else None,
            render_without=lambda part: sample.scene.without_part(0, part).picture(),
        )


def subset(dataset: Dataset, indices: Iterable[int]) -> ListDataset:
    """The items at `indices`, in that order."""
    exact = bool(getattr(dataset, "exact", False))
    return ListDataset(dataset.name, [dataset[i] for i in indices], dataset.classes, exact)


def items_without_files(dataset: Dataset) -> Sequence[Item]:
    """The items as far as lists say without a file being opened for each: image, name, label, split."""
    items = dataset.items if isinstance(dataset, ListDataset) else [dataset[i] for i in range(len(dataset))]
    return items.items if isinstance(items, LazyItems) else items


def label_of(dataset: Dataset, index: int) -> int | None:
    """The class of one item, as lists or scenes say it: no file is opened and nothing is drawn for it."""
    if isinstance(dataset, ToyboxDataset):
        labels = dataset.scenes.scene(index).labels
        return labels[0] if labels else None
    items = dataset.items if isinstance(dataset, ListDataset) else dataset
    return items.items[index].label if isinstance(items, LazyItems) else items[index].label


def in_split(dataset: Dataset, split: str) -> ListDataset:
    """The items of one split. Raises `DataError` that names the splits there are."""
    all_items = items_without_files(dataset)
    selected = [item for item in all_items if item.split == split]
    if not selected:
        splits = sorted({item.split for item in all_items} - {""})
        raise DataError(
            f"{dataset.name} has no split {split!r}: "
            + (
                f"it has {', '.join(splits)}."
                if splits
                else "its pictures are in none (folders train, val and test are)."
            )
        )
    items: Sequence[Item] = selected
    if isinstance(dataset, ListDataset) and isinstance(dataset.items, LazyItems):
        items = LazyItems(selected, dataset.items.complete)
    return ListDataset(f"{dataset.name}:{split}", items, dataset.classes, bool(getattr(dataset, "exact", False)))


def check_dataset(data: object) -> None:
    """Raise `DataError` for what is no data set: it has a name, classes, a length and items by number."""
    lacking = [name for name in ("name", "classes", "__len__", "__getitem__") if not hasattr(data, name)]
    if lacking or isinstance(data, type):
        raise DataError(
            f"a data set has a name, classes, a length and items by number, and {shown(data)} has not. "
            "open_dataset(...) makes one of a folder or table."
        )


def sample_indices(n: int, limit: int | None, seed: int) -> list[int]:
    """Which of `count` items are taken: all, or `limit` drawn at random without repeats, in their order.

    Never the first ones: a sorted folder would give the first classes only.
    """
    check_seed(seed)
    if limit is None or limit >= n:
        return list(range(n))
    return sorted(np.random.default_rng(seed).choice(n, size=limit, replace=False).tolist())
