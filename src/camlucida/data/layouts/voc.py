"""Pascal VOC (Everingham et al. 2010): pictures with the boxes of their objects, and masks of some of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from camlucida.data.annotations import Marked, read_xml
from camlucida.data.indexed import levels
from camlucida.data.items import Boxes, Item, Listed, Mask
from camlucida.data.places import Place, inside, lines_of, required
from camlucida.errors import DataError

CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""In the order of the numbers in the masks, which begin at 1."""
UNSURE = 255
LAYOUT = "JPEGImages/, Annotations/<2007_000027.xml>, ImageSets/Main/train.txt, val.txt, SegmentationClass/."
PIECES = {"images": ("JPEGImages",), "boxes": ("Annotations",), "sets": ("ImageSets/Main",)}
INSIDE = ("VOC2012", "VOC2007", "VOC2011", "VOC2010", "VOC2009", "VOC2008")


def voc(root: Place) -> Listed:
    """A picture's label is the class that takes most of its room; the other classes are right, too (`others`).

    boxes  of the label's class; VOC counts pixels from 1 and both ends belong to a box, which is undone
    mask   of the label's class, where SegmentationClass/ has the picture, and `rival` of the other classes; unsure
           borders are in neither
    root   VOC2012, VOCdevkit or the folder around it
    Sets in the same layout with classes of their own are read, too, without masks: their numbers mean nothing here.
    """
    found = required("Pascal VOC", _inner(root), PIECES, LAYOUT)
    listed = _listed(found["sets"])
    marked = {name: _read(found["boxes"] / f"{name}.xml") for name in listed}
    seen = {one.name for objects, _ in marked.values() for one in objects}
    official = seen <= set(CLASSES)
    classes = CLASSES if official else tuple(sorted(seen))
    masks = _inner(root) / "SegmentationClass"
    masked = {file.stem for file in inside(masks)} if official and masks.is_dir() else set[str]()
    items = []
    for name, split in listed.items():
        objects, wrong = marked[name]
        label, others = _classes_of(objects, classes)
        file = found["images"] / f"{name}.jpg"
        item = Item(file, name, label, _boxes(objects, classes, label), split=split, others=others, problems=wrong)
        if name in masked and label is not None:
            segments = masks / f"{name}.png"
            own, foreign = partial(_own, segments, label), partial(_foreign, segments, label)
            item = replace(item, mask=own, rival=foreign, files=(segments,))
        items.append(item)
    return Listed("Pascal VOC", items, classes)


def _inner(root: Place) -> Place:
    for outer in (root, root / "VOCdevkit"):
        for inner in (outer, *(outer / year for year in INSIDE)):
            if (inner / "JPEGImages").is_dir():
                return inner
    return root


def _listed(sets: Place) -> dict[str, str]:
    """Name of a picture -> its split. Lists of one class (cat_train.txt) say nothing more."""
    listed = {
        line.split()[0]: split
        for split in ("test", "val", "train")
        if (sets / f"{split}.txt").is_file()
        for line in lines_of(sets / f"{split}.txt")
    }
    if not listed:
        raise DataError(f"Pascal VOC: train.txt, val.txt and test.txt are missing in {sets}.")
    return listed


def _read(file: Place) -> tuple[list[Marked], tuple[str, ...]]:
    try:
        return read_xml(file), ()
    except DataError as error:
        return [], (f"no boxes: {error}.",)


def _classes_of(objects: list[Marked], classes: tuple[str, ...]) -> tuple[int | None, tuple[int, ...]]:
    """The class with the most room, and the others; objects marked as difficult count where there are no others."""
    counted = [one for one in objects if not one.difficult] or objects
    room: dict[int, float] = {}
    for one in counted:
        room[classes.index(one.name)] = room.get(classes.index(one.name), 0.0) + one.area
    if not room:
        return None, ()
    label = max(room, key=lambda number: (room[number], -number))
    return label, tuple(sorted({classes.index(one.name) for one in objects} - {label}))


def _boxes(objects: list[Marked], classes: tuple[str, ...], label: int | None) -> Boxes | None:
    boxes = [one.box for one in objects if classes.index(one.name) == label]
    return np.array(boxes, dtype=np.float64) - [1, 1, 0, 0] if boxes else None


def _own(file: Place, label: int) -> Mask:
    return np.asarray(levels(file) == label + 1)


def _foreign(file: Place, label: int) -> Mask:
    numbers = levels(file)
    return np.asarray((numbers != 0) & (numbers != label + 1) & (numbers != UNSURE))
