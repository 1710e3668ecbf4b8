"""COCO instances (Lin et al., 2014) and other datasets in its JSON format: boxes, polygons and run-length encoding."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from camlucida.data.coco_masks import mask_from_polygon, mask_from_rle
from camlucida.data.dataset import Item, ListDataset, Mask, ObjectAnnotation
from camlucida.data.location import Location, first_existing, list_folder
from camlucida.errors import DataError

LAYOUT = (
    "annotations/instances_val2017.json with the images in val2017/ (and the same for train2017), or one folder per "
    "split with _annotations.coco.json next to the images, or the path of one JSON file"
)
JsonObject = Mapping[str, Any]
NO_METADATA = ("id", "file_name", "width", "height")
"""Members of an image that are known already, or identify it."""


def coco(root: Location) -> ListDataset:
    """Open a dataset in COCO's format. The label of an image is the class with the largest area.

    The other classes in an image are in `also_correct`. Boxes and mask are those of the class of the label, and
    `other_objects_mask` is that of the other classes; each mask is the union of all instances, crowds included.

    Args:
        root: The folder of the dataset, or one JSON file.

    Raises:
        DataError: If the annotations are missing or cannot be read.
    """
    files = _annotation_files(root)
    if not files:
        raise DataError(f"COCO: annotations/instances_….json is missing in {root}. The expected layout is: {LAYOUT}.")
    contents = [(_split_of(file), file, _read_annotations(file)) for file in files]
    categories = {c["id"]: str(c["name"]) for _, _, content in contents for c in content["categories"]}
    category_ids = sorted(categories)
    classes = tuple(categories[number] for number in category_ids)
    items, problems = [], list[str]()
    for split, file, content in contents:
        images = _images(root, file, split)
        objects: dict[Any, list[JsonObject]] = {}
        for number, annotation in enumerate(content["annotations"]):
            if reason := _problem_of(annotation, category_ids):
                problems.append(f"{file.name}, annotation {annotation.get('id', number)}: {reason}.")
            else:
                objects.setdefault(annotation["image_id"], []).append(annotation)
        prefix = f"{split}/" if len(contents) > 1 else ""
        for image in content["images"]:
            annotations = objects.pop(image["id"], [])
            item = _item(images, prefix, image, annotations, category_ids, split)
            items.append(replace(item, files=(file,)))
        problems += [f"{file.name}: annotations of image {number}, which is not listed." for number in objects]
    return ListDataset(root.stem if root.suffix else "COCO", items, classes, problems=tuple(problems))


def _annotation_files(root: Location) -> list[Location]:
    if root.suffix.lower() == ".json":
        return [root]
    annotations = root / "annotations"
    listed = list_folder(annotations) if annotations.is_dir() else []
    if instances := [file for file in listed if file.suffix == ".json" and file.name.startswith("instances")]:
        return instances
    folders = [root, *(entry for entry in list_folder(root) if entry.is_dir())]
    return [file for folder in folders if (file := folder / "_annotations.coco.json").is_file()]


def _read_annotations(file: Location) -> JsonObject:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"COCO: cannot read {file}: {error}.") from None
    missing = [key for key in ("images", "annotations", "categories") if key not in (content or ())]
    if missing:
        raise DataError(f"COCO: {file} has no {' and no '.join(missing)}: it is not a file of instances.")
    return dict(content)


def _split_of(file: Location) -> str:
    """Return the split in the name of the file or its folder: instances_val2017.json, valid/_annotations.coco.json."""
    name = file.parent.name if file.name.startswith("_") else file.stem
    match = re.search(r"(?:^|_)(train|val|test|minival)", name.lower())
    return {"minival": "val"}.get(match[1], match[1]) if match else ""


def _images(root: Location, file: Location, split: str) -> Location:
    """Return the folder that the image names are relative to."""
    if root.suffix.lower() == ".json" or file.name.startswith("_"):
        root = file.parent
    subset = file.stem.rpartition("_")[2]
    return first_existing(root, (subset, f"images/{subset}", f"images/{split}", "images")) or root


def _problem_of(annotation: JsonObject, category_ids: Sequence[int]) -> str:
    box = annotation.get("bbox")
    if annotation.get("category_id") not in category_ids:
        return f"the category {annotation.get('category_id')} is not in the list of categories"
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, int | float) for side in box):
        return f"a box must be x, y, width, height, not {box}"
    return "" if "image_id" in annotation else "it has no image"


def _item(
    images: Location,
    prefix: str,
    image: JsonObject,
    objects: Sequence[JsonObject],
    category_ids: Sequence[int],
    split: str,
) -> Item:
    area: dict[int, float] = {}
    for annotation in objects:
        number = category_ids.index(annotation["category_id"])
        area[number] = area.get(number, 0.0) + float(
            annotation.get("area") or annotation["bbox"][2] * annotation["bbox"][3]
        )
    label = max(area, key=lambda number: (area[number], -number)) if area else None
    of_label = [annotation for annotation in objects if category_ids.index(annotation["category_id"]) == label]
    of_others = [annotation for annotation in objects if category_ids.index(annotation["category_id"]) != label]
    boxes = [[x, y, x + width, y + height] for x, y, width, height in (annotation["bbox"] for annotation in of_label)]
    size = int(image.get("height") or 0), int(image.get("width") or 0)
    has_masks = all(size) and all(annotation.get("segmentation") for annotation in objects)
    name = str(image["file_name"])
    return Item(
        images / name,
        prefix + name,
        label,
        np.array(boxes, dtype=np.float64) if boxes else None,
        partial(_mask, of_label, size, name) if has_masks and of_label else None,
        split=split,
        also_correct=tuple(sorted(set(area) - {label})),
        other_objects_mask=partial(_mask, of_others, size, name) if has_masks and of_others else None,
        metadata=_metadata(image),
        objects=partial(_objects, objects, category_ids, size, name),  # an image without any has no objects
    )


def _objects(
    objects: Sequence[JsonObject], category_ids: Sequence[int], size: tuple[int, int], name: str
) -> list[ObjectAnnotation]:
    """Return all annotations of an image."""
    annotated = []
    for annotation in objects:
        x, y, width, height = annotation["bbox"]
        box = np.array([x, y, x + width, y + height], dtype=np.float64)
        mask = partial(_mask, [annotation], size, name) if all(size) and annotation.get("segmentation") else None
        annotated.append(ObjectAnnotation(category_ids.index(annotation["category_id"]), box, mask))
    return annotated


def _metadata(image: JsonObject) -> dict[str, Any]:
    """Return the attributes of an image that are numbers, texts or truth values: also those in its `attributes`."""
    nested = image.get("attributes")
    further = {**image, **(nested if isinstance(nested, Mapping) else {})}
    return {
        str(key): value
        for key, value in further.items()
        if key not in NO_METADATA and not str(key).endswith("url") and isinstance(value, str | int | float)
    }


def _mask(objects: Sequence[JsonObject], size: tuple[int, int], name: str) -> Mask:
    """Return the union of the masks of the objects. Raises `DataError`, which names the image."""
    mask = np.zeros(size, dtype=bool)
    try:
        for annotation in objects:
            segmentation = annotation["segmentation"]
            if isinstance(segmentation, Mapping):
                mask |= mask_from_rle(
                    segmentation["counts"], (int(segmentation["size"][0]), int(segmentation["size"][1]))
                )
            else:
                for corners in segmentation:
                    mask |= mask_from_polygon(corners, size)
    except (DataError, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"the mask of {name} cannot be decoded: {error}.") from None
    return mask
