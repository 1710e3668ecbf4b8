"""Pascal VOC (Everingham et al., 2010): images with boxes of their objects and masks for some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from camlucida.data.dataset import Boxes, Item, ListDataset, Mask, ObjectAnnotation
from camlucida.data.index_masks import read_index_mask
from camlucida.data.location import Location, list_folder, locate_pieces, read_lines
from camlucida.data.object_metadata import object_metadata
from camlucida.data.voc_xml import AnnotatedObject, read_voc_xml
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
"""The official classes, in the order of the mask indices, which start at 1."""
UNCERTAIN = 255
LAYOUT = "JPEGImages/, Annotations/<2007_000027.xml>, ImageSets/Main/train.txt, val.txt, SegmentationClass/."
PIECES = {"images": ("JPEGImages",), "boxes": ("Annotations",), "sets": ("ImageSets/Main",)}
INNER_FOLDERS = ("VOC2012", "VOC2007", "VOC2011", "VOC2010", "VOC2009", "VOC2008")


def voc(root: Location) -> ListDataset:
    """Open a dataset in VOC's format. The label of an image is the class with the largest area.

    The other classes in an image are in `also_correct`. Boxes are those of the class of the label; VOC counts pixels
    from 1 and includes both ends, which is converted. The mask is that of the class of the label and
    `other_objects_mask` that of the other classes, for images in SegmentationClass/; uncertain borders are in neither.

    The pose, and whether an object of the label is truncated, occluded or difficult, are `metadata`.

    Datasets in the same layout with other classes are read without masks, since the meaning of the indices is unknown.

    Args:
        root: VOC2012, VOCdevkit or the folder that contains it.
    """
    pieces = locate_pieces("Pascal VOC", _inner_folder(root), PIECES, LAYOUT)
    split_of = _read_splits(pieces["sets"])
    annotations = {name: _read_objects(pieces["boxes"] / f"{name}.xml") for name in split_of}
    names = {annotated.name for objects, _ in annotations.values() for annotated in objects}
    official = names <= set(CLASSES)
    classes = CLASSES if official else tuple(sorted(names))
    masks = _inner_folder(root) / "SegmentationClass"
    masked = {file.stem for file in list_folder(masks)} if official and masks.is_dir() else set[str]()
    items = []
    for name, split in split_of.items():
        objects, problems = annotations[name]
        label, others = _classes_of(objects, classes)
        file = pieces["images"] / f"{name}.jpg"
        item = Item(
            file,
            name,
            label,
            _boxes(objects, classes, label),
            split=split,
            also_correct=others,
            problems=problems,
            metadata=object_metadata([o.attributes for o in objects if classes.index(o.name) == label]),
        )
        segments = masks / f"{name}.png" if name in masked else None
        item = replace(item, objects=partial(_annotated, objects, classes, segments)) if objects else item
        if segments is not None and label is not None:
            label_mask, others_mask = (
                partial(_class_mask, segments, label),
                partial(_other_classes_mask, segments, label),
            )
            item = replace(item, mask=label_mask, other_objects_mask=others_mask, files=(segments,))
        items.append(item)
    return ListDataset("Pascal VOC", items, classes)


def _inner_folder(root: Location) -> Location:
    for outer in (root, root / "VOCdevkit"):
        for inner in (outer, *(outer / year for year in INNER_FOLDERS)):
            if (inner / "JPEGImages").is_dir():
                return inner
    return root


def _read_splits(sets: Location) -> dict[str, str]:
    """Return the split of each image. Lists for one class (cat_train.txt) are redundant and not read."""
    splits = {
        line.split()[0]: split
        for split in ("test", "val", "train")
        if (sets / f"{split}.txt").is_file()
        for line in read_lines(sets / f"{split}.txt")
    }
    if not splits:
        raise DataError(f"Pascal VOC: train.txt, val.txt and test.txt are missing in {sets}.")
    return splits


def _read_objects(file: Location) -> tuple[list[AnnotatedObject], tuple[str, ...]]:
    try:
        return read_voc_xml(file), ()
    except DataError as error:
        return [], (f"no boxes: {error}.",)


def _classes_of(objects: list[AnnotatedObject], classes: tuple[str, ...]) -> tuple[int | None, tuple[int, ...]]:
    """Return the class with the largest area and the other classes; difficult objects count only if all objects are."""
    counted = [annotated for annotated in objects if not annotated.difficult] or objects
    area: dict[int, float] = {}
    for annotated in counted:
        area[classes.index(annotated.name)] = area.get(classes.index(annotated.name), 0.0) + annotated.area
    if not area:
        return None, ()
    label = max(area, key=lambda number: (area[number], -number))
    return label, tuple(sorted({classes.index(annotated.name) for annotated in objects} - {label}))


def _boxes(objects: list[AnnotatedObject], classes: tuple[str, ...], label: int | None) -> Boxes | None:
    boxes = [annotated.box for annotated in objects if classes.index(annotated.name) == label]
    return np.array(boxes, dtype=np.float64) - [1, 1, 0, 0] if boxes else None


def _annotated(
    objects: Sequence[AnnotatedObject], classes: Sequence[str], segments: Location | None
) -> list[ObjectAnnotation]:
    """Return all objects; the mask of one is that of its class inside its box."""
    annotated = []
    for each in objects:
        label, box = classes.index(each.name), np.array(each.box, dtype=np.float64) - [1, 1, 0, 0]
        mask = None if segments is None else partial(_mask_in_box, segments, label, box)
        annotated.append(ObjectAnnotation(label, box, mask, each.difficult))
    return annotated


def _mask_in_box(file: Location, label: int, box: Boxes) -> Mask:
    mask = _class_mask(file, label)
    left, top, right, bottom = (max(0, round(float(side))) for side in box)
    inside = np.zeros_like(mask)
    inside[top:bottom, left:right] = mask[top:bottom, left:right]
    return inside


def _class_mask(file: Location, label: int) -> Mask:
    return np.asarray(read_index_mask(file) == label + 1)


def _other_classes_mask(file: Location, label: int) -> Mask:
    indices = read_index_mask(file)
    return np.asarray((indices != 0) & (indices != label + 1) & (indices != UNCERTAIN))
