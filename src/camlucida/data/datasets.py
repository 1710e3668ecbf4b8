"""Data sets as this package sees them: pictures with what is known about them, one interface for all.

A data set is anything with a `name`, `classes`, a length and items by number:

    item = dataset[3]
    item.image, item.label, item.boxes, item.mask, item.parts
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from camlucida.data import toybox
from camlucida.data.images import Source, image_files
from camlucida.errors import DataError

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

    exact   whether it was drawn, so that its masks are the truth, not somebody's outline
    """

    name: str
    items: Sequence[Item]
    classes: tuple[str, ...] = ()
    exact: bool = False

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]


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


def folder(path: str | Path, boxes: str | Path | None = None) -> Listed:
    """The pictures below a folder, by name; its sub-folders are the classes, if it has any with pictures in them.

    boxes   a CSV file with a line a box: see `read_boxes`. Labels in it count before the folders' names.
    Raises `ImageError` where there is no picture, `DataError` where the table cannot be read.
    """
    root = Path(path).expanduser()
    files = image_files(root)
    root = root if root.is_dir() else root.parent
    known = read_boxes(boxes) if boxes is not None else {}
    inside = sorted({p.relative_to(root).parts[0] for p in files if len(p.relative_to(root).parts) > 1})
    classes = tuple(sorted({row.label for row in known.values() if row.label}) or inside)
    items = []
    for file in files:
        within = file.relative_to(root)
        row = known.get(within.as_posix()) or known.get(file.name) or Row()
        named = row.label or (within.parts[0] if len(within.parts) > 1 else "")
        label = classes.index(named) if named in classes else None
        found = np.array(row.boxes, dtype=np.float64).reshape(-1, 4) if row.boxes else None
        items.append(Item(file, within.as_posix(), label, found))
    return Listed(root.name, items, classes)


@dataclass
class Row:
    """What a table of boxes says about one picture."""

    label: str = ""
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)


NAMES = {
    "file": ("file", "filename", "path", "image", "name"),
    "label": ("label", "class", "class_name", "target", "category"),
    "x0": ("x0", "xmin", "left"),
    "y0": ("y0", "ymin", "top"),
    "x1": ("x1", "xmax", "right"),
    "y1": ("y1", "ymax", "bottom"),
}
"""What the columns of a table of boxes may be called."""


def read_boxes(path: str | Path) -> dict[str, Row]:
    """File name -> its label and boxes, of a CSV with a line a box: file, x0, y0, x1, y1 and, if known, label.

    x1 and y1 are exclusive, in pixels of the stored picture. Raises `DataError` that names the line.
    """
    file = Path(path).expanduser()
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            columns = _columns(table.fieldnames or [], file)
            rows: dict[str, Row] = {}
            for number, line in enumerate(table, start=2):
                _add(rows, line, columns, f"{file.name}, line {number}")
            return rows
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{file.name} is no UTF-8 text.") from None


def _columns(have: Sequence[str], file: Path) -> dict[str, str]:
    plain = {name.strip().lower(): name for name in have}
    found = {key: plain[n] for key, names in NAMES.items() for n in reversed(names) if n in plain}
    missing = [key for key in NAMES if key not in found and key != "label"]
    if missing:
        raise DataError(
            f"{file.name} needs the columns file, x0, y0, x1, y1 (and label, if known); it lacks "
            f"{', '.join(missing)} and has {', '.join(have) or 'none'}."
        )
    return found


def _add(rows: dict[str, Row], line: Mapping[str, Any], columns: Mapping[str, str], where: str) -> None:
    name = (line.get(columns["file"]) or "").strip()
    if not name:
        raise DataError(f"{where}: no file is named.")
    row = rows.setdefault(name, Row())
    row.label = (line.get(columns.get("label", "")) or row.label).strip()
    corners = [(line.get(columns[c]) or "").strip() for c in ("x0", "y0", "x1", "y1")]
    if not any(corners):
        return
    try:
        x0, y0, x1, y1 = (float(c) for c in corners)
    except ValueError:
        raise DataError(f"{where}: a box is four numbers, not {', '.join(corners)}.") from None
    if not (x0 < x1 and y0 < y1):
        raise DataError(
            f"{where}: a box goes from left to right and from top to bottom, not {x0:g} {y0:g} {x1:g} {y1:g}."
        )
    row.boxes.append((x0, y0, x1, y1))


def subset(dataset: DataSet, indices: Iterable[int]) -> Listed:
    """The items at `indices`, in that order."""
    exact = bool(getattr(dataset, "exact", False))
    return Listed(dataset.name, [dataset[i] for i in indices], dataset.classes, exact)


def spread(count: int, limit: int | None, seed: int) -> list[int]:
    """Which of `count` items are taken: all, or `limit` drawn at random without repeats, in their order.

    Never the first ones: a sorted folder would give the first classes only.
    """
    if limit is None or limit >= count:
        return list(range(count))
    return sorted(np.random.default_rng(seed).choice(count, size=limit, replace=False).tolist())


def identity(dataset: DataSet, indices: Iterable[int]) -> str:
    """16 hex digits that change with the items' names, labels or boxes."""
    digest = hashlib.sha256(repr((dataset.name, dataset.classes)).encode())
    for item in _items(dataset, indices):
        digest.update(repr((item.name, item.label, None if item.boxes is None else item.boxes.tolist())).encode())
    return digest.hexdigest()[:16]


def _items(dataset: DataSet, indices: Iterable[int]) -> Iterator[Item]:
    return (dataset[i] for i in indices)
