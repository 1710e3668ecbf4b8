"""Pictures in folders: the sub-folders are the classes, under train, val and test where there are such."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from camlucida.data.box_csv import LabelledBoxes, read_boxes
from camlucida.data.dataset import Item, ListDataset
from camlucida.data.location import OUTPUT_FOLDER, Location, RemotePath, images_in, location_of

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


def folder(path: str | Path | RemotePath, boxes: str | Path | None = None) -> ListDataset:
    """The pictures below a folder, by name; its sub-folders are the classes, if it has any with pictures in them.

    Where all sub-folders are called train, val or test (or training, valid, validation, dev, testing), they are splits,
    and their sub-folders are the classes.

    path    a folder, a picture, or an address that fsspec opens
    boxes   a CSV file with a line a box: see `read_boxes`. Labels in it count before the folders' names.
    Raises `ImageError` where there is no picture, `DataError` where the table cannot be read.
    """
    root = location_of(path)
    files = images_in(root)
    labelled_boxes = read_boxes(boxes) if boxes is not None else {}
    names = [name for name, _ in files]
    has_splits = _has_splits(names)
    class_names = sorted({class_name for name in names if (class_name := _class_of(name, has_splits))})
    classes = tuple(sorted({row.label for row in labelled_boxes.values() if row.label}) or class_names)
    label_of = {name: number for number, name in enumerate(classes)}
    items, used = [], set()
    for name, file in files:
        key = next((key for key in (name, name.partition("/")[2], file.name) if key in labelled_boxes), "")
        used.add(key)
        row = labelled_boxes.get(key, LabelledBoxes())
        label = label_of.get(row.label or _class_of(name, has_splits))
        box_array = np.array(row.boxes, dtype=np.float64).reshape(-1, 4) if row.boxes else None
        split = SPLITS[name.partition("/")[0].lower()] if has_splits else ""
        items.append(Item(file, name, label, box_array, split=split))
    missing = [
        f"{key} is in {Path(str(boxes)).name}, but there is no such picture."
        for key in labelled_boxes
        if key not in used
    ]
    name = root.name or str(root.absolute() if isinstance(root, Path) else root)
    return ListDataset(name, items, classes, problems=(*missing, *_empty_folders(root, names, has_splits)))


def _has_splits(names: list[str]) -> bool:
    """Whether the folders at the top are splits: all of them, for a class may well be called train."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return bool(tops) and all(top.lower() in SPLITS for top in tops)


def _class_of(name: str, has_splits: bool) -> str:
    """The folder that a picture lies in below the top, or below its split; "" for none."""
    inner = name.partition("/")[2] if has_splits else name
    return inner.partition("/")[0] if "/" in inner else ""


def _empty_folders(root: Location, names: list[str], has_splits: bool) -> list[str]:
    """About folders in the place of classes that hold no picture. A remote store has no empty folders."""
    if not isinstance(root, Path) or not root.is_dir():
        return []
    non_empty = {"/".join(parts[:depth]) for name in names if (parts := name.split("/")) for depth in (1, 2)}
    below_splits = (
        [f"{top.name}/{inner.name}" for top in _subfolders(root) for inner in _subfolders(top)] if has_splits else []
    )
    candidates = [folder.name for folder in _subfolders(root)] + below_splits
    return [f"the folder {name} has no picture in it: it is no class." for name in candidates if name not in non_empty]


def _subfolders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name != OUTPUT_FOLDER)
