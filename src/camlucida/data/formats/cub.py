"""CUB-200-2011 (Wah et al., 2011): 11,788 images of 200 bird species with boxes and part locations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from camlucida.data.dataset import Boxes, Item, LazyItems, ListDataset, Mask
from camlucida.data.images import load_image
from camlucida.data.index_masks import read_index_mask
from camlucida.data.location import Location, first_existing, locate_pieces, read_lines
from camlucida.errors import DataError

LAYOUT = (
    "images/<001.Black_footed_Albatross>/…jpg, images.txt, classes.txt, image_class_labels.txt, train_test_split.txt, "
    "bounding_boxes.txt, parts/parts.txt, parts/part_locs.txt, and, from a separate archive, segmentations/."
)
PIECES = {
    name: (f"{name}.txt",) for name in ("images", "classes", "image_class_labels", "train_test_split", "bounding_boxes")
} | {"image_folder": ("images",)}
DISC_RADIUS = 0.1
"""Radius of the disc that represents a part location, as a fraction of the longer side of the box, as in PCK@0.1 for
keypoints.
"""
MASK_THRESHOLD = 128
"""Smallest grey level of an object pixel in a segmentation: at least half of the annotators agreed on it."""

PartLocations = Mapping[str, tuple[float, float]]


def cub(root: Location) -> ListDataset:
    """Open CUB-200-2011 with the official split, boxes, parts as discs, and masks if segmentations/ exists."""
    root = first_existing(root, ("CUB_200_2011",)) or root
    pieces = locate_pieces("CUB-200-2011", root, PIECES, LAYOUT)
    files, classes = _read_table(pieces["images"], 1), _read_table(pieces["classes"], 1)
    labels, training = _read_table(pieces["image_class_labels"], 1), _read_table(pieces["train_test_split"], 1)
    boxes, problems = _read_table(pieces["bounding_boxes"], 4), list[str]()
    points = _read_part_locations(root, problems)
    label_of = {number: label_index for label_index, number in enumerate(classes)}
    masks = first_existing(root, ("segmentations",)) or first_existing(root.parent, ("segmentations",))
    items = []
    for number, (file,) in files.items():
        label = label_of.get(labels[number][0]) if number in labels else None
        box, wrong = _parse_box(boxes.get(number)), []
        if label is None:
            wrong.append(f"no label: image_class_labels.txt has none of classes.txt for {number} ({file}).")
        if box is None:
            wrong.append(f"no box: bounding_boxes.txt has none for {number} ({file}).")
        split = {"1": "train", "0": "test"}.get(training.get(number, ("",))[0], "")
        image = pieces["image_folder"] / file
        parts = None
        if box is not None and number in points:
            parts = partial(_disc_masks, image, points[number], DISC_RADIUS * float((box[0, 2:] - box[0, :2]).max()))
        part_files = (root / "parts/part_locs.txt",) if parts is not None else ()
        items.append(Item(image, file, label, box, parts=parts, split=split, problems=tuple(wrong), files=part_files))
    names = tuple(fields[0].partition(".")[2].replace("_", " ") or fields[0] for fields in classes.values())
    dataset_items = items if masks is None else LazyItems(items, partial(_with_mask, masks))
    return ListDataset("CUB-200-2011", dataset_items, names, problems=tuple(problems))


def _read_table(file: Location, columns: int) -> dict[str, tuple[str, ...]]:
    """Return the fields that follow each image number. Raises `DataError`, which names the line."""
    rows = {}
    for number, line in enumerate(read_lines(file), start=1):
        fields = line.split()
        if len(fields) <= columns:
            raise DataError(f"{file}, line {number}: expected {columns + 1} columns, not {line[:40]!r}.")
        rows[fields[0]] = tuple(fields[1:])
    return rows


def _parse_box(fields: tuple[str, ...] | None) -> Boxes | None:
    if fields is None:
        return None
    try:
        x, y, width, height = (float(value) for value in fields[:4])
    except ValueError:
        return None
    return np.array([[x, y, x + width, y + height]])


def _read_part_locations(root: Location, problems: list[str]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the coordinates of each visible part by image number and part name."""
    names, locations = root / "parts/parts.txt", root / "parts/part_locs.txt"
    missing = [str(file) for file in (names, locations) if not file.is_file()]
    if missing:
        problems.append(f"{' and '.join(missing)} missing, so there are no parts.")
        return {}
    part_names = {fields[0]: " ".join(fields[1:]) for line in read_lines(names) if (fields := line.split())}
    points: dict[str, dict[str, tuple[float, float]]] = {}
    for number, line in enumerate(read_lines(locations), start=1):
        fields = line.split()
        try:
            x, y, visible = float(fields[2]), float(fields[3]), fields[4] == "1"
        except (IndexError, ValueError):
            problems.append(f"part_locs.txt, line {number}: expected a point, not {line[:40]!r}.")
            continue
        if visible:
            points.setdefault(fields[0], {})[part_names.get(fields[1], fields[1])] = (x, y)
    return points


def _disc_masks(image: Location, points: PartLocations, radius: float) -> dict[str, Mask]:
    width, height = load_image(image).size
    y, x = np.mgrid[:height, :width] + 0.5
    return {name: np.asarray(np.hypot(x - px, y - py) <= radius) for name, (px, py) in points.items()}


def _with_mask(folder: Location, item: Item) -> Item:
    file = folder / f"{item.name.rpartition('.')[0]}.png"
    return replace(item, mask=partial(_read_mask, file), files=(*item.files, file))


def _read_mask(file: Location) -> Mask:
    return np.asarray(read_index_mask(file) >= MASK_THRESHOLD)
