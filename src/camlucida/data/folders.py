"""Pictures in folders: the sub-folders are the classes, under train, val and test where there are such."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from camlucida.data.boxes import Row, read_boxes
from camlucida.data.items import Item, Listed
from camlucida.data.places import OURS, Place, Remote, pictures_in, place_of

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""What folders of splits are called, in any case."""


def folder(path: str | Path | Remote, boxes: str | Path | None = None) -> Listed:
    """The pictures below a folder, by name; its sub-folders are the classes, if it has any with pictures in them.

    Where all sub-folders are called train, val or test (or training, valid, validation, dev, testing), they are splits,
    and their sub-folders are the classes.

    path    a folder, a picture, or an address that fsspec opens
    boxes   a CSV file with a line a box: see `read_boxes`. Labels in it count before the folders' names.
    Raises `ImageError` where there is no picture, `DataError` where the table cannot be read.
    """
    root = place_of(path)
    files = pictures_in(root)
    known = read_boxes(boxes) if boxes is not None else {}
    names = [name for name, _ in files]
    divided = _divided(names)
    inside = sorted({named for name in names if (named := _class_of(name, divided))})
    classes = tuple(sorted({row.label for row in known.values() if row.label}) or inside)
    numbers = {name: number for number, name in enumerate(classes)}
    items, used = [], set()
    for name, file in files:
        key = next((key for key in (name, name.partition("/")[2], file.name) if key in known), "")
        used.add(key)
        row = known.get(key, Row())
        label = numbers.get(row.label or _class_of(name, divided))
        found = np.array(row.boxes, dtype=np.float64).reshape(-1, 4) if row.boxes else None
        split = SPLITS[name.partition("/")[0].lower()] if divided else ""
        items.append(Item(file, name, label, found, split=split))
    lost = [f"{key} is in {Path(str(boxes)).name}, but there is no such picture." for key in known if key not in used]
    name = root.name or str(root.absolute() if isinstance(root, Path) else root)
    return Listed(name, items, classes, problems=(*lost, *_empty(root, names, divided)))


def _divided(names: list[str]) -> bool:
    """Whether the folders at the top are splits: all of them, for a class may well be called train."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return bool(tops) and all(top.lower() in SPLITS for top in tops)


def _class_of(name: str, divided: bool) -> str:
    """The folder that a picture lies in below the top, or below its split; "" for none."""
    inner = name.partition("/")[2] if divided else name
    return inner.partition("/")[0] if "/" in inner else ""


def _empty(root: Place, names: list[str], divided: bool) -> list[str]:
    """About folders in the place of classes that hold no picture. A remote store has no empty folders."""
    if not isinstance(root, Path) or not root.is_dir():
        return []
    full = {"/".join(parts[:depth]) for name in names if (parts := name.split("/")) for depth in (1, 2)}
    level = [f"{top.name}/{inner.name}" for top in _folders(root) for inner in _folders(top)] if divided else []
    here = [folder.name for folder in _folders(root)] + level
    return [f"the folder {name} has no picture in it: it is no class." for name in here if name not in full]


def _folders(place: Path) -> list[Path]:
    return sorted(p for p in place.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name != OURS)
