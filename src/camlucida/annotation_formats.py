"""The JSON of COCO and FiftyOne: how boxes, masks and classes are written. What is written is the caller's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FIELDS, _EMBEDDED = "fiftyone.core.fields", "fiftyone.core.fields.EmbeddedDocumentField"


def coco_document(
    description: str,
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    category_names: Sequence[str],
) -> dict[str, Any]:
    """Return the content of a COCO file. The ids of categories are their positions plus 1."""
    return {
        "info": {"description": description, "version": "1.0"},
        "images": list(images),
        "annotations": list(annotations),
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(category_names)],
    }


def coco_box(box: Sequence[float]) -> dict[str, Any]:
    """Return the fields of an annotation for a box (left, top, right, bottom): bbox (x, y, width, height) and area."""
    left, top, right, bottom = box
    return {
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "iscrowd": 0,
    }


def coco_run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask `(height, width)` as COCO's uncompressed run lengths, column by column, starting outside."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.concatenate([[0], edges, [mask.size]])
    counts = np.diff(ends).tolist()
    if counts[-1] == 0:  # the mask ends inside
        counts.pop()
    return {"size": list(mask.shape), "counts": counts}


def fiftyone_document(
    name: str, samples: Sequence[Mapping[str, Any]], fields: Mapping[str, str], info: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of a file that `fiftyone.Dataset.from_json` reads.

    Args:
        name: Name of the data set.
        samples: The samples, each with `filepath`, `tags` and `metadata` beside the fields.
        fields: Type of each further field: "classification", "detections", "integer", "number" or "text".
        info: What is written about the data set.
    """
    types = {
        "classification": f"{_EMBEDDED}(fiftyone.core.labels.Classification)",
        "detections": f"{_EMBEDDED}(fiftyone.core.labels.Detections)",
        "integer": f"{_FIELDS}.IntField",
        "number": f"{_FIELDS}.FloatField",
        "text": f"{_FIELDS}.StringField",
    }
    return {
        "name": name,
        "media_type": "image",
        "num_samples": len(samples),
        "sample_fields": {
            "filepath": f"{_FIELDS}.StringField",
            "tags": f"{_FIELDS}.ListField({_FIELDS}.StringField)",
            "metadata": f"{_EMBEDDED}(fiftyone.core.metadata.ImageMetadata)",
            **{field: types[kind] for field, kind in fields.items()},
        },
        "info": dict(info),
        "samples": list(samples),
    }


def fiftyone_size(width: int, height: int) -> dict[str, Any]:
    """Return the size of an image as FiftyOne's metadata."""
    return {"_cls": "ImageMetadata", "width": width, "height": height}


def fiftyone_detection(label: str, box: Sequence[float], width: int, height: int, **attributes: Any) -> dict[str, Any]:
    """Return a box (left, top, right, bottom) in pixels as a detection, whose box is in fractions of the image."""
    left, top, right, bottom = box
    return {
        "_cls": "Detection",
        "label": label,
        "bounding_box": [left / width, top / height, (right - left) / width, (bottom - top) / height],
        **attributes,
    }


def fiftyone_classification(label: str | None, confidence: float | None) -> dict[str, Any] | None:
    """Return a class with its probability; None without a class."""
    if label is None:
        return None
    return {"_cls": "Classification", "label": label, "confidence": plain(confidence), "logits": None}


def plain(value: Any) -> Any:
    """Return a value that JSON can represent: None for NaN."""
    return None if isinstance(value, float) and value != value else value


def json_text(content: Mapping[str, Any]) -> str:
    """Return the text of a JSON file."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
