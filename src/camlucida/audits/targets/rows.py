"""The columns of one row of an image: the target, what it was compared with, and the numbers of its maps."""

from __future__ import annotations

from typing import Any

import torch

from camlucida.attribution.bind_targets import spec_on_image
from camlucida.audits.object_region import ObjectRegion
from camlucida.audits.plan import AuditPlan
from camlucida.audits.rows import map_columns
from camlucida.audits.targets.binding import TargetRow
from camlucida.audits.targets.explain import ExplainedTarget, class_of
from camlucida.audits.targets.words import word_of
from camlucida.evaluation.prediction_rows import target_prediction
from camlucida.evaluation.read_images import LoadedImage
from camlucida.evaluation.store import Row
from camlucida.targets import class_label
from camlucida.types import Region

SIDES = ("left", "top", "right", "bottom")


def target_columns(plan: AuditPlan, image: LoadedImage, row: TargetRow) -> Row:
    """Return the columns of a row that do not depend on its maps."""
    geometry = image.geometry
    is_missed = row.outcome == "missed"
    # An object that is missed has the box of the candidate that is explained instead, unless there is none.
    predicted = row.candidate if is_missed else row.own
    columns: Row = {
        "target": None if row.bound is None else spec_on_image(row.bound.spec, geometry),
        "target_name": None if row.bound is None else spec_on_image(row.bound.label, geometry),
        "outcome": row.outcome,
        "iou": row.iou,
        "label": row.label if row.label_index is None else class_label(row.label_index, plan.model.labels),
        "label_index": row.label_index,
        "correct": {"correct": True, "false": False, "missed": False}.get(row.outcome or ""),
    }
    columns |= dict(zip(SIDES, _sides(predicted), strict=True))
    if image.item.objects is not None:  # of all classes, not only of the label of the image
        columns["n_boxes"] = len(image.item.objects())
    return columns | {f"true_{name}": side for name, side in zip(SIDES, _sides(row.true), strict=True)}


def _sides(region: Region | None) -> tuple[float | None, ...]:
    """Return the sides of a box, or of the box around a mask; None without one."""
    if region is None:
        return (None,) * 4
    if region.box is not None:
        return region.box
    if region.mask is None or not bool(region.mask.any()):
        return (None,) * 4
    rows, columns = (region.mask.cpu().any(axis).nonzero().flatten() for axis in (1, 0))
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1


def explained_columns(plan: AuditPlan, image: LoadedImage, row: TargetRow, explained: ExplainedTarget) -> Row:
    """Return the columns of a row that was explained: its prediction and its maps.

    The columns without a prefix are those of the target's own class, which a missed object was not predicted as.
    """
    assert row.bound is not None
    own, scores = class_of(row.bound), explained.scores.double()
    probabilities, label = explained.activation.probabilities(scores), row.label_index
    is_missed = row.outcome == "missed"
    predicted, confidence = target_prediction(scores, explained.activation, own, is_missed=is_missed)
    columns: Row = {
        "predicted": None if predicted is None else _name(plan, row, predicted),
        "predicted_index": predicted,
        "confidence": confidence,
        "competing": _name(plan, row, explained.competing),
        "competing_index": explained.competing,
        "competing_confidence": float(probabilities[explained.competing]),
        "label_confidence": None if label is None else float(probabilities[label]),
        "label_rank": None if label is None else 1 + int((scores > scores[label]).sum()),
        "prediction_entropy": float(torch.special.entr(probabilities).sum()),
    }
    region = _object_region(row.own, image.geometry.original)
    for m, (name, maps) in enumerate(explained.maps.items()):
        prefix = "" if m == 0 else f"{name}."
        columns |= map_columns(image, region, maps, label is not None, prefix, relu=plan.has_relu(name))
    energy = columns.get("energy_in_box")
    return columns | {"energy_outside": None if energy is None else 1 - energy}


def _object_region(region: Region | None, size: tuple[int, int]) -> ObjectRegion | None:
    if region is None:
        return None
    if region.box is not None:
        return ObjectRegion.of_boxes([region.box], size)
    return None if region.mask is None else ObjectRegion.of_mask(region.mask.cpu().numpy(), size)


def _name(plan: AuditPlan, row: TargetRow, index: int) -> str:
    """Return the name of a class; of a network that writes texts, the word."""
    assert row.bound is not None
    decode: Any = getattr(plan.model.image_targets, "decode", None)
    if decode is None:
        return class_label(index, plan.model.labels)
    return word_of(row.bound) if index == class_of(row.bound) else str(decode([index])).strip()
