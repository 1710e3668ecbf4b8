"""The columns of an audit's table: what is known of an image, its prediction and its maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from camlucida.audits.map_statistics import map_statistics
from camlucida.audits.plan import EXPLAINED_CLASSES, AuditPlan
from camlucida.evaluation.model_input import fill_in
from camlucida.evaluation.prediction_rows import prediction_row
from camlucida.evaluation.read_images import LoadedImage, ReadImage
from camlucida.evaluation.store import Row
from camlucida.targets import class_label

COLUMNS = {
    "index": "int64",
    "image": "string",
    "split": "string",
    "label": "string",
    "label_index": "int64",
    "predicted": "string",
    "predicted_index": "int64",
    "correct": "bool",
    "confidence": "float64",
    "competing": "string",
    "competing_index": "int64",
    "competing_confidence": "float64",
    "label_confidence": "float64",
    "label_rank": "int64",
    "prediction_entropy": "float64",
    "width": "int64",
    "height": "int64",
    "brightness": "float64",
    "n_boxes": "int64",
    "metadata": "string",
    "error": "string",
}
"""Columns beside those of the maps. Confidences are probabilities; `prediction_entropy` is in nats; `brightness` is the
mean of the network input in [0, 1]; `metadata` holds the further columns of the data set's table as a JSON object."""

OBJECT_COLUMNS = ("box_area", "object_x", "object_y")
"""Columns of the object, its mask or the union of its boxes: the fraction of the image that it covers, and its center
of mass as a fraction of the image's width and height."""

MAP_COLUMNS = ("energy_in_box", "energy_at_border", "center_x", "center_y", "entropy", "scale")
"""Columns of each map; `scale` is the largest magnitude of the raw map, by which the stored one is divided."""


def columns_of(method_names: Sequence[str]) -> dict[str, str]:
    """Return the names and types of all columns for an audit with these methods."""
    columns = dict(COLUMNS)
    error = columns.pop("error")
    columns |= dict.fromkeys(OBJECT_COLUMNS, "float64")
    for m, name in enumerate(method_names):
        prefix = "" if m == 0 else f"{name}."
        columns |= {
            f"{prefix}{_class_prefix(explained)}{column}": "float64"
            for explained in EXPLAINED_CLASSES
            for column in MAP_COLUMNS
        }
    return columns | {"error": error}


def image_columns(plan: AuditPlan, image: ReadImage) -> Row:
    """Return the columns of an image that do not depend on the network, as far as they are known."""
    if image.item is None:
        return {}
    item = image.item
    row: Row = {
        "label_index": plan.output_of(item.label),
        "n_boxes": None if item.boxes is None else len(item.boxes),
        "metadata": json.dumps(dict(item.metadata), sort_keys=True, default=str) if item.metadata else None,
    }
    if isinstance(image, LoadedImage):
        row["width"], row["height"] = image.geometry.original
        row["brightness"] = float(plan.model.preprocessing.denormalise(image.inputs[None]).mean())
    return row


def prediction_columns(plan: AuditPlan, image: LoadedImage, logits: Tensor, predicted: int, competing: int) -> Row:
    """Return the columns of the prediction.

    Args:
        plan: The plan of the audit.
        image: The image.
        logits: Class scores `(k,)`.
        predicted: The predicted class, which was explained.
        competing: The class with the next highest score, which was explained.
    """
    row = prediction_row(plan, image, logits, predicted)
    probabilities = plan.activation.probabilities(logits.double())
    label = row["label_index"]
    return row | {
        "competing": class_label(competing, plan.model.labels),
        "competing_index": competing,
        "competing_confidence": float(probabilities[competing]),
        "label_confidence": None if label is None else float(probabilities[label]),
        "label_rank": None if label is None else 1 + int((logits > logits[label]).sum()),
        "prediction_entropy": float(torch.special.entr(probabilities).sum()),
    }


def map_columns(image: LoadedImage, maps: Sequence[Tensor], has_label: bool, prefix: str) -> Row:
    """Return the columns of the maps `(h, w)` of the predicted, competing and true class of one image."""
    region: Tensor | None = None
    if image.item.mask is not None:
        region = torch.as_tensor(image.item.mask())
    elif image.item.boxes is not None:
        region = fill_in(torch.as_tensor(image.item.boxes).double(), image.geometry.original)
    row: Row = _object_columns(region)
    for explained, saliency in zip(EXPLAINED_CLASSES, maps, strict=True):
        if explained == "true" and not has_label:
            continue
        numbers = asdict(map_statistics(saliency, image.geometry, region))
        del numbers["box_area"]  # that of the object, which is the same for all maps
        numbers["scale"] = float(saliency.abs().max())
        row |= {f"{prefix}{_class_prefix(explained)}{column}": value for column, value in numbers.items()}
    return {column: None if value != value else value for column, value in row.items()}  # NaN: not defined


def _object_columns(region: Tensor | None) -> Row:
    """Return the columns of the object from its mask `(height, width)`."""
    if region is None or not bool(region.any()):
        return dict.fromkeys(OBJECT_COLUMNS)
    mask = region.double()
    area, (height, width) = float(mask.mean()), mask.shape
    x, y = (torch.arange(n, dtype=torch.float64) + 0.5 for n in (width, height))
    total = mask.sum()
    return {
        "box_area": area,
        "object_x": float((mask.sum(0) * x).sum() / total) / width,
        "object_y": float((mask.sum(1) * y).sum() / total) / height,
    }


def _class_prefix(explained: str) -> str:
    """Return the prefix of a class's columns; those of the predicted class have none."""
    return "" if explained == "predicted" else f"{explained}_"
