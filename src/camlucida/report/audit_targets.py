"""What the report of an audit of targets displays instead of images: boxes, regions, words and missed objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from camlucida._escaping import printable
from camlucida.analysis.confusion import Confusion, wilson_interval
from camlucida.audits.audit_result import Audit
from camlucida.audits.rows import target_box
from camlucida.audits.targets.wording import mean_iou, wording_of
from camlucida.evaluation.clustered import effective_size
from camlucida.evaluation.statistics import Interval
from camlucida.evaluation.store import Row

BACKGROUND = "background"
"""Name of the label of false detections, and of what missed objects are predicted as."""


def class_names_of(row: Row) -> tuple[str | None, str | None]:
    """Return the label and the predicted class of a row: background for false detections and for missed objects."""
    label = BACKGROUND if row["outcome"] == "false" else row["label"]
    predicted = BACKGROUND if row["outcome"] == "missed" else row["predicted"]
    return label, predicted


def target_confusion(audit: Audit) -> Confusion | None:
    """Return the confusion matrix of the judged rows: correct ones on the diagonal, the others in the background.

    None if no row can be judged.
    """
    pairs = [class_names_of(row) for row in audit.rows if row["correct"] is not None]
    named = sorted({str(name) for pair in pairs for name in pair if name != BACKGROUND}, key=_order(audit))
    if not named:
        return None
    names = [*named, BACKGROUND]
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    for label, predicted in pairs:
        counts[names.index(str(label)), names.index(str(predicted))] += 1
    return Confusion(tuple(names), counts)


def recalls(audit: Audit) -> tuple[Confusion | None, dict[str, Interval]]:
    """Return the confusion matrix without false detections, and the interval of the recall of each class.

    The intervals take into account that objects share images.
    """
    confusion, images = target_confusion(audit), audit.images()
    if confusion is None or images is None:
        return None, {}
    counts = confusion.counts.copy()
    counts[-1] = 0
    if not counts.any():
        return None, {}
    found = {}
    for name in confusion.names[:-1]:
        chosen = [i for i, row in enumerate(audit.rows) if row["label"] == name and row["correct"] is not None]
        if chosen:
            values = np.array([float(audit.rows[i]["correct"]) for i in chosen])
            n = effective_size(values, images[chosen])
            found[name] = wilson_interval(float(values.mean()) * n, n)
    return Confusion(confusion.names, counts), found


def target_tiles(audit: Audit) -> list[tuple[str, str, str]]:
    """Return the tiles of the overview with the numbers of correct, false and missed targets."""
    summary, words = audit.summary, wording_of(audit)
    n_correct, n_false, n_missed = (int(summary[f"n_{name}"]) for name in ("correct", "false", "missed"))
    tiles = [(f"{summary['n_rows']:,}", "targets", f"{n_correct:,} correct")]
    if summary["recall"] is not None:
        found = f"recall: {n_correct:,} of {n_correct + n_missed:,}; {n_missed:,} missed"
        tiles.append((f"{summary['recall']:.1%}", words.found, found))
    if summary["precision"] is not None:
        right = f"precision: {n_correct:,} of {n_correct + n_false:,}; {n_false:,} false"
        tiles.append((f"{summary['precision']:.1%}", words.right, right))
    if (iou := mean_iou(audit)) is not None:
        tiles.append((f"{iou:.2f}", "intersection over union", f"mean of the {words.right}"))
    return tiles


def target_content(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the page holds of each row beside its numbers: the target, its outcome and its image."""
    images: dict[int, int] = {}
    for row in rows:
        images.setdefault(row["index"], len(images))
    names = [str(row["target_name"] or (f"missed {row['label']}" if row["label"] else "nothing")) for row in rows]
    return {
        "targets": [printable(name, lines=False) for name in names],
        "outcomes": [str(row["outcome"] or "not judged") for row in rows],
        "thumb": [images[row["index"]] for row in rows],
    }


def target_boxes(rows: Sequence[Row]) -> dict[int, list[float]]:
    """Return the box of each row by its index in the page, as fractions of the image."""
    boxes = {}
    for i, row in enumerate(rows):
        box = target_box(row)
        if box is not None and row["width"] and row["height"]:
            boxes[i] = np.round(np.array(box) / np.array([row["width"], row["height"]] * 2), 3).tolist()
    return boxes


def _order(audit: Audit) -> Any:
    """Return the key by which classes are sorted: in the order of the model, others after them."""
    position = {name: i for i, name in enumerate(audit.plan["labels"])}
    return lambda name: (position.get(name, len(position)), name)
