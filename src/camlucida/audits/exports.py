"""Exports of selected images of an audit, so that they can be mended in other tools: CSV, COCO and FiftyOne."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camlucida._escaping import csv_text
from camlucida._files import atomic_write
from camlucida.annotation_formats import (
    coco_box,
    coco_document,
    fiftyone_classification,
    fiftyone_detection,
    fiftyone_document,
    fiftyone_size,
    json_text,
    plain,
)
from camlucida.audits.audit_result import Audit
from camlucida.audits.rows import target_box
from camlucida.data.datasets import Item
from camlucida.errors import CamlucidaError, DataError

FORMATS = ("csv", "coco", "fiftyone")
"""Formats of images; a model card is another export, see `camlucida.audits.record.model_card`."""

ATTRIBUTES = (
    "label", "predicted", "correct", "confidence", "competing", "competing_confidence", "energy_in_box",
    "energy_at_border", "error",
)  # fmt: skip
"""Columns that each image of a COCO or FiftyOne file carries."""


def export(audit: Audit, file: Path, kind: str, indices: Sequence[int] | None = None) -> Path:
    """Write selected images of an audit to a file.

    Boxes and paths of images are known only if the data set is available; without it, an image is known by its name.

    Args:
        audit: The audit.
        file: The file, which is replaced.
        kind: "csv": all columns of the table. "coco": COCO's JSON with the boxes as annotations. "fiftyone": the JSON
            of a data set that `fiftyone.Dataset.from_json` reads.
        indices: Positions of the images in the audit's rows, in the order of the file; None for all.

    Raises:
        DataError: If the format is unknown, or an index does not exist.
    """
    writers = {"csv": csv_content, "coco": coco_content, "fiftyone": fiftyone_content}
    if kind not in writers:
        raise DataError(f"there is no format {kind!r}: choose one of {', '.join(FORMATS)}.")
    n = audit.table.num_rows
    chosen = range(n) if indices is None else [int(index) for index in indices]
    if wrong := [index for index in chosen if not 0 <= index < n]:
        raise DataError(f"{audit.path} has {n} rows, and none with the index {wrong[0]}.")
    atomic_write(file, writers[kind](audit, chosen))
    return file


def csv_content(audit: Audit, indices: Sequence[int]) -> str:
    """Return the rows as CSV, with `row`, the position in the audit, as the first column."""
    rows: list[dict[str, Any]] = audit.table.take(list(indices)).to_pylist()
    columns = ["row", *audit.table.column_names]
    return csv_text(columns, [{"row": index, **row} for index, row in zip(indices, rows, strict=True)])


def coco_content(audit: Audit, indices: Sequence[int]) -> str:
    """Return COCO's JSON: images with their predictions as further attributes, and boxes as annotations.

    The ids of images are the positions in the audit's rows plus 1, those of categories the classes' indices plus 1.
    """
    rows: list[dict[str, Any]] = audit.table.take(list(indices)).to_pylist()
    names = _class_names(audit, rows)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    if audit.has_targets:
        return _coco_targets(audit, indices, rows, names)
    for index, row in zip(indices, rows, strict=True):
        item = _item(audit, row)
        images.append(
            {"id": index + 1, "file_name": _path(item, row), "width": row["width"], "height": row["height"]}
            | {name: plain(row[name]) for name in ATTRIBUTES}
        )
        for box in _boxes(item):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": names.index(row["label"]) + 1 if row["label"] is not None else None,
                }
                | coco_box(box)
            )
    known = [entry for entry in annotations if entry["category_id"] is not None]
    return json_text(coco_document(f"Images of the audit {audit.path.name}", images, known, names))


TARGET_ATTRIBUTES = ("target", "outcome", "iou", "energy_outside")
"""Further columns that each annotation carries where rows are the targets of images."""


def _coco_targets(audit: Audit, indices: Sequence[int], rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Return COCO's JSON with one annotation for each row: its predicted box, or the box of a missed object.

    Rows without a box are left out.

    The ids of images are their indices in the data set plus 1, those of annotations the positions in the audit's rows
    plus 1. `score` is the confidence, as in COCO's results.
    """
    images: dict[int, dict[str, Any]] = {}
    annotations = []
    for index, row in zip(indices, rows, strict=True):
        id_ = row["index"] + 1
        if id_ not in images:
            path = _path(_item(audit, row), row)
            images[id_] = {"id": id_, "file_name": path, "width": row["width"], "height": row["height"]}
        box, name = target_box(row), row["label"] if row["outcome"] == "missed" else row["predicted"]
        if box is None or name not in names:
            continue
        annotations.append(
            {"id": index + 1, "image_id": id_, "category_id": names.index(name) + 1, "score": plain(row["confidence"])}
            | {column: plain(row[column]) for column in (*ATTRIBUTES, *TARGET_ATTRIBUTES) if column != "error"}
            | coco_box(box)
        )
    return json_text(
        coco_document(f"Targets of the audit {audit.path.name}", list(images.values()), annotations, names)
    )


def _target_samples(
    audit: Audit, indices: Sequence[int], rows: Sequence[dict[str, Any]], numbers: Sequence[str]
) -> list[dict[str, Any]]:
    """Return one FiftyOne sample for each image: annotated objects as `ground_truth`, detections as `predictions`."""
    samples: dict[int, dict[str, Any]] = {}
    for index, row in zip(indices, rows, strict=True):
        width, height = row["width"], row["height"]
        if row["index"] not in samples:
            samples[row["index"]] = {
                "filepath": _path(_item(audit, row), row),
                "tags": [row["split"]] if row["split"] else [],
                "metadata": fiftyone_size(width, height) if width and height else None,
                "ground_truth": {"_cls": "Detections", "detections": []},
                "predictions": {"_cls": "Detections", "detections": []},
                "error": row["error"],
            }
        sample = samples[row["index"]]
        if not width or not height:
            continue
        true = [row[f"true_{side}"] for side in ("left", "top", "right", "bottom")]
        if None not in true:
            sample["ground_truth"]["detections"].append(fiftyone_detection(row["label"], true, width, height))
        if row["outcome"] != "missed" and (box := target_box(row)) is not None:
            further = {name: plain(row[name]) for name in (*numbers, "outcome", "target")}
            found = fiftyone_detection(row["predicted"], box, width, height)
            sample["predictions"]["detections"].append(
                found | {"confidence": plain(row["confidence"]), "audit_row": index, **further}
            )
    return list(samples.values())


def fiftyone_content(audit: Audit, indices: Sequence[int]) -> str:
    """Return the JSON of a FiftyOne data set: `fiftyone.Dataset.from_json(file)`.

    Each sample has the label as `ground_truth`, the prediction as `predictions`, boxes as `objects`, and numbers of the
    map as fields.
    """
    rows: list[dict[str, Any]] = audit.table.take(list(indices)).to_pylist()
    numbers = [name for name in ATTRIBUTES if name.startswith("energy")]
    if audit.has_targets:
        by_image = _target_samples(audit, indices, rows, numbers)
        boxes = {"ground_truth": "detections", "predictions": "detections", "error": "text"}
        about = {"audit": str(audit.path), "model": audit.plan["model"], "weights": audit.plan["weights"]}
        return json_text(fiftyone_document(f"camlucida-{audit.path.name}", by_image, boxes, about))
    samples = [_sample(audit, index, row, numbers) for index, row in zip(indices, rows, strict=True)]
    fields = {"ground_truth": "classification", "predictions": "classification", "objects": "detections"}
    fields |= {"audit_row": "integer", **dict.fromkeys(numbers, "number"), "error": "text"}
    info = {"audit": str(audit.path), "model": audit.plan["model"], "weights": audit.plan["weights"]}
    return json_text(fiftyone_document(f"camlucida-{audit.path.name}", samples, fields, info))


def _sample(audit: Audit, index: int, row: Mapping[str, Any], numbers: Sequence[str]) -> dict[str, Any]:
    item, width, height = _item(audit, row), row["width"], row["height"]
    sized = _boxes(item) if width and height else []
    objects = [fiftyone_detection(row["label"], box, width, height) for box in sized]
    size = fiftyone_size(width, height)
    return {
        "filepath": _path(item, row),
        "tags": [tag for tag in (row["split"], "wrong" if row["correct"] is False else None) if tag],
        "metadata": size if width and height else None,
        "ground_truth": fiftyone_classification(row["label"], None),
        "predictions": fiftyone_classification(row["predicted"], row["confidence"]),
        "objects": {"_cls": "Detections", "detections": objects},
        "audit_row": index,
        **{name: plain(row[name]) for name in numbers},
        "error": row["error"],
    }


def _item(audit: Audit, row: Mapping[str, Any]) -> Item | None:
    """Return the item of a row; None if the data set is not available, or the item cannot be read."""
    if audit.data is None:
        return None
    try:
        return audit.data[row["index"]]
    except CamlucidaError:
        return None


def _path(item: Item | None, row: Mapping[str, Any]) -> str:
    """Return the path of an image; its name if it is not a file, or the data set is not available."""
    if item is not None and isinstance(item.image, str | os.PathLike):
        return os.fspath(item.image)
    return row["image"] or ""


def _boxes(item: Item | None) -> list[list[float]]:
    if item is None or item.boxes is None:
        return []
    boxes: list[list[float]] = item.boxes.tolist()
    return boxes


def _class_names(audit: Audit, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the model's classes, and those of labels that the model does not have."""
    known = list(dict.fromkeys(audit.plan["labels"]))
    return known + sorted({row["label"] for row in rows if row["label"] is not None} - set(known))
