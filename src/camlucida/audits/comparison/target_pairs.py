"""Which targets of two audits are the same: those of an annotated object, or false detections at the same position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.audits.audit_result import Audit
from camlucida.evaluation.matching import MIN_IOU, box_overlaps

SIDES = ("left", "top", "right", "bottom")


def target_keys(audit: Audit) -> NDArray[Any]:
    """Return a key of each row `(n,)`, by which rows of two audits of the same data are matched.

    Rows of an annotated object have its image, class and box; other rows their image, class and target. A key that
    occurs twice has a number.
    """
    keys = np.empty(audit.table.num_rows, dtype=object)
    seen: dict[tuple[Any, ...], int] = {}
    for i, row in enumerate(audit.rows):
        true = tuple(row[f"true_{side}"] for side in SIDES)
        if row["image"] is None:
            continue
        if row["label"] is not None:
            key: tuple[Any, ...] = (row["image"], row["label"], "object", true)
        else:
            key = (row["image"], row["predicted"], row["target"] or row["outcome"] or "image", None)
        seen[key] = seen.get(key, 0) + 1
        keys[i] = (*key, seen[key])
    return keys


def paired_keys(old: Audit, old_keys: NDArray[Any], new: Audit, new_keys: NDArray[Any]) -> NDArray[Any]:
    """Return the keys of the new audit, in which a detection without an object has that of the old one at its position.

    Such detections are paired if they have the same class and their boxes have an intersection over union of at least
    `MIN_IOU`, the largest first.
    """
    by_class: dict[tuple[Any, Any], list[int]] = {}
    for i, row in enumerate(old.rows):
        if row["label"] is None and row["left"] is not None:
            by_class.setdefault((row["image"], row["predicted"]), []).append(i)
    paired = new_keys.copy()
    taken: set[int] = set()
    for i, row in enumerate(new.rows):
        if row["label"] is not None or row["left"] is None:
            continue
        free = [j for j in by_class.get((row["image"], row["predicted"]), []) if j not in taken]
        paired[i] = (row["image"], row["predicted"], row["target"], "new")  # without a partner it is in one audit only
        if not free:
            continue
        boxes = np.array([[old.rows[j][side] for side in SIDES] for j in free], dtype=np.float64)
        own = np.array([[row[side] for side in SIDES]], dtype=np.float64)
        overlaps = box_overlaps(own, boxes)[0][0]
        best = int(overlaps.argmax())
        if overlaps[best] >= MIN_IOU:
            taken.add(free[best])
            paired[i] = old_keys[free[best]]
    return paired
