"""The columns of an audit's table: what is known of an image, its prediction and its maps."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from torch import Tensor

from camlucida.audits.map_statistics import statistics_of_maps
from camlucida.audits.object_region import ObjectRegion
from camlucida.audits.plan import EXPLAINED_CLASSES, AuditPlan
from camlucida.evaluation.prediction_rows import prediction_row
from camlucida.evaluation.read_images import LoadedImage, ReadImage
from camlucida.evaluation.store import Row
from camlucida.models.preprocessing import Preprocessing
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


TARGET_COLUMNS = {
    "target": "string",
    "target_name": "string",
    "outcome": "string",
    "left": "float64",
    "top": "float64",
    "right": "float64",
    "bottom": "float64",
    "true_left": "float64",
    "true_top": "float64",
    "true_right": "float64",
    "true_bottom": "float64",
    "iou": "float64",
    "energy_outside": "float64",
}
"""Further columns where rows are the targets of images. `target` is what explains it: "box 3"; `outcome` is correct,
false, missed, ignored or nothing; the sides are those of the predicted and of the annotated box, in pixels of the
image; `iou` is their intersection over union, and `energy_outside` the fraction of the map outside the row's own box or
region. `energy_in_box`, `box_area` and the position of the object are those of the row's own box or region: the
predicted one, or that of a missed object."""


def columns_of(method_names: Sequence[str], *, has_targets: bool = False) -> dict[str, str]:
    """Return the names and types of all columns for an audit with these methods.

    Args:
        method_names: Names of the methods.
        has_targets: Whether the rows are the targets of images.
    """
    columns = dict(COLUMNS)
    error = columns.pop("error")
    if has_targets:
        columns |= TARGET_COLUMNS
    columns |= dict.fromkeys(OBJECT_COLUMNS, "float64")
    for m, name in enumerate(method_names):
        prefix = "" if m == 0 else f"{name}."
        columns |= {
            f"{prefix}{_class_prefix(explained)}{column}": "float64"
            for explained in EXPLAINED_CLASSES
            for column in MAP_COLUMNS
        }
    return columns | {"error": error}


def target_box(row: Row) -> list[float] | None:
    """Return the box that a row is about, in pixels of the image: the predicted one, or that of a missed object."""
    prefix = "true_" if row["outcome"] == "missed" else ""
    sides = [row[f"{prefix}{side}"] for side in ("left", "top", "right", "bottom")]
    return None if any(side is None for side in sides) else [float(side) for side in sides]


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
        row["brightness"] = brightness(plan.model.preprocessing, image.inputs)
    return row


def brightness(preprocessing: Preprocessing, inputs: Tensor) -> float:
    """Return the mean of a network input `(c, H, W)` in [0, 1], before its normalisation."""
    means: list[float] = inputs.mean((1, 2)).tolist()
    levels = [m * std + mean for m, mean, std in zip(means, preprocessing.mean, preprocessing.std, strict=True)]
    return min(max(sum(levels) / len(levels), 0.0), 1.0)


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


def map_columns(
    image: LoadedImage, region: ObjectRegion | None, maps: Tensor, has_label: bool, prefix: str, *, relu: bool
) -> Row:
    """Return the columns of the maps of one image by one method.

    Args:
        image: The image.
        region: The object on it.
        maps: The maps `(3, h, w)` of the predicted, the competing and the true class.
        has_label: Whether the true class is known.
        prefix: Prefix of the method's columns.
        relu: Whether the method clips its maps at zero.
    """
    row: Row = {} if region is None else _object_columns(region)
    scales = maps.abs().amax((1, 2)).tolist()
    for explained, statistics, scale in zip(
        EXPLAINED_CLASSES, statistics_of_maps(maps, image.geometry, region, relu=relu), scales, strict=True
    ):
        if explained == "true" and not has_label:
            continue
        numbers = {**vars(statistics), "scale": scale}
        del numbers["box_area"]  # that of the object, which is the same for all maps
        row |= {f"{prefix}{_class_prefix(explained)}{column}": value for column, value in numbers.items()}
    return {column: None if value != value else value for column, value in row.items()}  # NaN: not defined


def _object_columns(region: ObjectRegion) -> Row:
    """Return the columns of the object: its area, and its center of mass."""
    x, y = region.center
    return dict(zip(OBJECT_COLUMNS, (region.area, x, y), strict=True))


def _class_prefix(explained: str) -> str:
    """Return the prefix of a class's columns; those of the predicted class have none."""
    return "" if explained == "predicted" else f"{explained}_"
