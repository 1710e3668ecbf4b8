"""Counts of an audit of targets: correct, false and missed ones."""

from __future__ import annotations

from collections import Counter
from typing import Any


def target_summary(table: Any) -> dict[str, Any]:
    """Return the numbers of run.json for rows that are targets of images.

    Args:
        table: The columns index, correct, outcome and error of all rows, as an Arrow table.

    Returns:
        Numbers of images, of rows and of each outcome; precision, the fraction of judged detections that are correct;
        recall, the fraction of objects that were found; and `accuracy`, correct rows divided by correct, false and
        missed ones.
    """
    index, correct, outcome, error = (table[name].to_pylist() for name in ("index", "correct", "outcome", "error"))
    count = Counter(outcome)
    judged = [value for value in correct if value is not None]
    n_correct, n_false, n_missed = (count[name] for name in ("correct", "false", "missed"))
    return {
        "n_images": len(set(index)),
        "n_rows": len(index),
        "n_errors": sum(value is not None for value in error),
        "n_labelled": len(judged),
        "accuracy": sum(judged) / len(judged) if judged else None,
        "n_correct": n_correct,
        "n_false": n_false,
        "n_missed": n_missed,
        "n_ignored": count["ignored"],
        "n_without_targets": count["nothing"],
        "precision": n_correct / (n_correct + n_false) if n_correct + n_false else None,
        "recall": n_correct / (n_correct + n_missed) if n_correct + n_missed else None,
    }
