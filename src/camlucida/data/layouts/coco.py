"""COCO instances (Lin et al. 2014), and whatever else is written in its JSON: boxes, polygons, run lengths."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from camlucida.data.items import Item, Listed, Mask
from camlucida.data.places import Place, first, inside
from camlucida.data.run_lengths import from_polygon, from_runs
from camlucida.errors import DataError

LAYOUT = (
    "annotations/instances_val2017.json with the pictures in val2017/ (and the same for train2017), or a folder a "
    "split with _annotations.coco.json beside its pictures, or one JSON file, named itself"
)
Record = Mapping[str, Any]


def coco(root: Place) -> Listed:
    """A picture's label is the class that takes most of its room; the other classes are right, too (`others`).

    boxes  of the label's class
    mask   of the label's class, and `rival` of the other classes: all instances together, crowds included
    root   the folder, or one JSON file
    """
    files = _files(root)
    if not files:
        raise DataError(f"COCO: annotations/instances_….json is missing in {root}. The layout is: {LAYOUT}.")
    read = [(_split(file), file, _read(file)) for file in files]
    categories = {c["id"]: str(c["name"]) for _, _, content in read for c in content["categories"]}
    order = sorted(categories)
    classes = tuple(categories[number] for number in order)
    items, problems = [], list[str]()
    for split, file, content in read:
        pictures = _pictures(root, file, split)
        objects: dict[Any, list[Record]] = {}
        for number, one in enumerate(content["annotations"]):
            if reason := _wrong(one, order):
                problems.append(f"{file.name}, annotation {one.get('id', number)}: {reason}.")
            else:
                objects.setdefault(one["image_id"], []).append(one)
        prefix = f"{split}/" if len(read) > 1 else ""
        for image in content["images"]:
            found = objects.pop(image["id"], [])
            item = _item(pictures, prefix, image, found, order, split)
            items.append(replace(item, files=(file,)))
        problems += [f"{file.name}: objects of a picture {number} that is not in it." for number in objects]
    return Listed(root.stem if root.suffix else "COCO", items, classes, problems=tuple(problems))


def _files(root: Place) -> list[Place]:
    if root.suffix.lower() == ".json":
        return [root]
    notes = root / "annotations"
    listed = inside(notes) if notes.is_dir() else []
    if found := [file for file in listed if file.suffix == ".json" and file.name.startswith("instances")]:
        return found
    folders = [root, *(place for place in inside(root) if place.is_dir())]
    return [file for folder in folders if (file := folder / "_annotations.coco.json").is_file()]


def _read(file: Place) -> Record:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"COCO: cannot read {file}: {error}.") from None
    missing = [key for key in ("images", "annotations", "categories") if key not in (content or ())]
    if missing:
        raise DataError(f"COCO: {file} has no {' and no '.join(missing)}: it is not the file of instances.")
    return dict(content)


def _split(file: Place) -> str:
    """What the file's name says, or its folder's: instances_val2017.json, valid/_annotations.coco.json."""
    said = file.parent.name if file.name.startswith("_") else file.stem
    found = re.search(r"(?:^|_)(train|val|test|minival)", said.lower())
    return {"minival": "val"}.get(found[1], found[1]) if found else ""


def _pictures(root: Place, file: Place, split: str) -> Place:
    """The folder that the names of pictures begin in."""
    if root.suffix.lower() == ".json" or file.name.startswith("_"):
        root = file.parent
    said = file.stem.rpartition("_")[2]
    return first(root, (said, f"images/{said}", f"images/{split}", "images")) or root


def _wrong(one: Record, order: Sequence[int]) -> str:
    box = one.get("bbox")
    if one.get("category_id") not in order:
        return f"the category {one.get('category_id')} is not in the list of categories"
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, int | float) for side in box):
        return f"a box is x, y, width, height, not {box}"
    return "" if "image_id" in one else "it belongs to no picture"


def _item(
    pictures: Place, prefix: str, image: Record, objects: Sequence[Record], order: Sequence[int], split: str
) -> Item:
    room: dict[int, float] = {}
    for one in objects:
        number = order.index(one["category_id"])
        room[number] = room.get(number, 0.0) + float(one.get("area") or one["bbox"][2] * one["bbox"][3])
    label = max(room, key=lambda number: (room[number], -number)) if room else None
    own = [one for one in objects if order.index(one["category_id"]) == label]
    foreign = [one for one in objects if order.index(one["category_id"]) != label]
    boxes = [[x, y, x + width, y + height] for x, y, width, height in (one["bbox"] for one in own)]
    size = int(image.get("height") or 0), int(image.get("width") or 0)
    drawn = all(size) and all(one.get("segmentation") for one in objects)
    name = str(image["file_name"])
    return Item(
        pictures / name,
        prefix + name,
        label,
        np.array(boxes, dtype=np.float64) if boxes else None,
        partial(_mask, own, size, name) if drawn and own else None,
        split=split,
        others=tuple(sorted(set(room) - {label})),
        rival=partial(_mask, foreign, size, name) if drawn and foreign else None,
    )


def _mask(objects: Sequence[Record], size: tuple[int, int], name: str) -> Mask:
    """All of the objects together. Raises `DataError` that names the picture."""
    mask = np.zeros(size, dtype=bool)
    try:
        for one in objects:
            drawn = one["segmentation"]
            if isinstance(drawn, Mapping):
                mask |= from_runs(drawn["counts"], (int(drawn["size"][0]), int(drawn["size"][1])))
            else:
                for corners in drawn:
                    mask |= from_polygon(corners, size)
    except (DataError, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"the mask of {name} cannot be drawn: {error}.") from None
    return mask
