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
    others: tuple[int, ...] = ()
    rival: Callable[[], Mask] | None = None
    without: Callable[[str], Source] | None = None
    problems: tuple[str, ...] = ()
    files: tuple[Any, ...] = ()


class DataSet(Protocol):
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
class Listed:
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
class Lazily(Sequence[Item]):
    """Items whose boxes and the like are read from files of their own when the item is asked for.

    known    what the lists say: image, name, label, split
    finish   adds the rest
    """

    known: Sequence[Item]
    finish: Callable[[Item], Item]

    def __len__(self) -> int:
        return len(self.known)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Lazily: ...
    def __getitem__(self, index: int | slice) -> Item | Lazily:
        if isinstance(index, slice):
            return Lazily(self.known[index], self.finish)
        return self.finish(self.known[index])


@dataclass(frozen=True, eq=False)
class Scenes:
    """toybox as a data set: drawn when asked for, with exact masks, boxes and parts of the first object."""

    drawn: toybox.Toybox
    name: str = "toybox"
    classes: tuple[str, ...] = field(default=toybox.CLASSES)
    exact: bool = True

    def __len__(self) -> int:
        return len(self.drawn)

    def __getitem__(self, index: int) -> Item:
        sample = self.drawn[index]
        if sample.label < 0:
            return Item(sample.image, f"scene {index}")
        drawing = sample.drawing
        boxes = np.array([drawing.boxes[0]], dtype=np.float64)
        rivals = [i for i, label in enumerate(sample.labels) if label != sample.label]
        return Item(
            sample.image,
            f"scene {index}",
            sample.label,
            boxes,
            lambda: drawing.masks[0],
            lambda: drawing.parts[0],
            others=tuple(sample.labels[i] for i in rivals),
            rival=(lambda: np.logical_or.reduce(drawing.masks[rivals])) if rivals else None,
            without=lambda part: sample.scene.without_part(0, part).picture(),
        )


def subset(dataset: DataSet, indices: Iterable[int]) -> Listed:
    """The items at `indices`, in that order."""
    exact = bool(getattr(dataset, "exact", False))
    return Listed(dataset.name, [dataset[i] for i in indices], dataset.classes, exact)


def known_of(dataset: DataSet) -> Sequence[Item]:
    """The items as far as lists say without a file being opened for each: image, name, label, split."""
    items = dataset.items if isinstance(dataset, Listed) else [dataset[i] for i in range(len(dataset))]
    return items.known if isinstance(items, Lazily) else items


def label_of(dataset: DataSet, index: int) -> int | None:
    """The class of one item, as lists or scenes say it: no file is opened and nothing is drawn for it."""
    if isinstance(dataset, Scenes):
        labels = dataset.drawn.scene(index).labels
        return labels[0] if labels else None
    items = dataset.items if isinstance(dataset, Listed) else dataset
    return items.known[index].label if isinstance(items, Lazily) else items[index].label


def in_split(dataset: DataSet, split: str) -> Listed:
    """The items of one split. Raises `DataError` that names the splits there are."""
    known = known_of(dataset)
    kept = [item for item in known if item.split == split]
    if not kept:
        have = sorted({item.split for item in known} - {""})
        raise DataError(
            f"{dataset.name} has no split {split!r}: "
            + (f"it has {', '.join(have)}." if have else "its pictures are in none (folders train, val and test are).")
        )
    items: Sequence[Item] = kept
    if isinstance(dataset, Listed) and isinstance(dataset.items, Lazily):
        items = Lazily(kept, dataset.items.finish)
    return Listed(f"{dataset.name}:{split}", items, dataset.classes, bool(getattr(dataset, "exact", False)))


def check_dataset(data: object) -> None:
    """Raise `DataError` for what is no data set: it has a name, classes, a length and items by number."""
    lacking = [name for name in ("name", "classes", "__len__", "__getitem__") if not hasattr(data, name)]
    if lacking or isinstance(data, type):
        raise DataError(
            f"a data set has a name, classes, a length and items by number, and {shown(data)} has not. "
            "open_dataset(...) makes one of a folder or table."
        )


def spread(count: int, limit: int | None, seed: int) -> list[int]:
    """Which of `count` items are taken: all, or `limit` drawn at random without repeats, in their order.

    Never the first ones: a sorted folder would give the first classes only.
    """
    check_seed(seed)
    if limit is None or limit >= count:
        return list(range(count))
    return sorted(np.random.default_rng(seed).choice(count, size=limit, replace=False).tolist())
