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


def fiftyone_content(audit: Audit, indices: Sequence[int]) -> str:
    """Return the JSON of a FiftyOne data set: `fiftyone.Dataset.from_json(file)`.

    Each sample has the label as `ground_truth`, the prediction as `predictions`, boxes as `objects`, and numbers of the
    map as fields.
    """
    rows: list[dict[str, Any]] = audit.table.take(list(indices)).to_pylist()
    numbers = [name for name in ATTRIBUTES if name.startswith("energy")]
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
