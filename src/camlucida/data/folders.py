"""Datasets of images in folders: the sub-folders are the classes, below train, val and test if those exist.

This is the layout of torchvision's `ImageFolder`, with optional splits above the classes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from camlucida.data.box_csv import LabelledBoxes, read_boxes
from camlucida.data.dataset import AnnotatedObject, Item, ListDataset
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
"""The split of each folder name, compared in lower case."""


def folder(path: str | Path | RemotePath, boxes: str | Path | None = None) -> ListDataset:
    """Return the images below a folder as a dataset, sorted by name; sub-folders that contain images are the classes.

    If all sub-folders are called train, val or test (or training, valid, validation, dev, testing), they are the
    splits, and their sub-folders are the classes.

    Args:
        path: A folder, an image, or an address that fsspec opens.
        boxes: A CSV file with one line per bounding box; see `read_boxes`. Its labels take precedence over folder
            names.

    Raises:
        ImageError: If there is no image.
        DataError: If the table cannot be read.
    """
    root = location_of(path)
    files = images_in(root)
    labelled_boxes = read_boxes(boxes) if boxes is not None else {}
    names = [name for name, _ in files]
    has_splits = _has_splits(names)
    class_names = sorted({class_name for name in names if (class_name := _class_of(name, has_splits))})
    listed = {label for row in labelled_boxes.values() for label in (row.label, *row.box_labels) if label}
    classes = tuple(sorted(listed) or class_names)
    label_of = {name: number for number, name in enumerate(classes)}
    items, used = [], set()
    for name, file in files:
        key = next((key for key in (name, name.partition("/")[2], file.name) if key in labelled_boxes), "")
        used.add(key)
        row = labelled_boxes.get(key, LabelledBoxes())
        label = label_of.get(row.label or _class_of(name, has_splits))
        box_array = np.array(row.boxes, dtype=np.float64).reshape(-1, 4) if row.boxes else None
        split = SPLITS[name.partition("/")[0].lower()] if has_splits else ""
        items.append(Item(file, name, label, box_array, split=split, objects=_objects(row, label_of)))
    missing = [
        f"{key} is in {Path(str(boxes)).name}, but there is no such image." for key in labelled_boxes if key not in used
    ]
    name = root.name or str(root.absolute() if isinstance(root, Path) else root)
    return ListDataset(name, items, classes, problems=(*missing, *_empty_folders(root, names, has_splits)))


def _objects(row: LabelledBoxes, label_of: dict[str, int]) -> tuple[AnnotatedObject, ...] | None:
    """Return the objects of an image; None if the table does not give the class of each box."""
    if not row.boxes or not all(row.box_labels):
        return None
    return tuple(AnnotatedObject(label_of[name], box) for name, box in zip(row.box_labels, row.boxes, strict=True))


def _has_splits(names: list[str]) -> bool:
    """Return whether the top-level folders are splits: all of them must be, since a class may well be called train."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return bool(tops) and all(top.lower() in SPLITS for top in tops)


def _class_of(name: str, has_splits: bool) -> str:
    """Return the folder of an image below the root, or below its split; "" if there is none."""
    inner = name.partition("/")[2] if has_splits else name
    return inner.partition("/")[0] if "/" in inner else ""


def _empty_folders(root: Location, names: list[str], has_splits: bool) -> list[str]:
    """Describe class folders without images. Remote stores are skipped, since they have no empty folders."""
    if not isinstance(root, Path) or not root.is_dir():
        return []
    non_empty = {"/".join(parts[:depth]) for name in names if (parts := name.split("/")) for depth in (1, 2)}
    below_splits = (
        [f"{top.name}/{inner.name}" for top in _subfolders(root) for inner in _subfolders(top)] if has_splits else []
    )
    candidates = [folder.name for folder in _subfolders(root)] + below_splits
    return [
        f"the folder {name} contains no images, so it is not a class." for name in candidates if name not in non_empty
    ]


def _subfolders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name != OUTPUT_FOLDER)
