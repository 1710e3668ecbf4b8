"""Audits whose rows and arrays are given, without a model: for tests of what is derived from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from camlucida.audits.audit_result import Audit
from camlucida.audits.chunks import Chunk
from camlucida.audits.plan import CHANNELS, FEATURES
from camlucida.audits.run import summary
from camlucida.audits.store import AuditStore

CLASSES = ("cat", "dog", "boat")


def synthetic_audit(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    maps: Mapping[str, np.ndarray] | None = None,
    features: np.ndarray | None = None,
    plan: Mapping[str, Any] | None = None,
) -> Audit:
    """Write a complete audit.

    Args:
        folder: Its folder.
        rows: Columns of each image; those that follow from others are filled in.
        maps: By method, `(n, 3, h, w)`; None for random ones.
        features: `(n, c)`; None for random ones.
        plan: Further members of the plan's record; with "target", rows are the targets of images.
    """
    rng = np.random.default_rng(0)
    arrays = dict(maps or {"grad_cam": rng.random((len(rows), 3, 4, 4))})
    methods = tuple(arrays)
    arrays[CHANNELS] = rng.random((len(rows), 3, 5))
    arrays[FEATURES] = rng.random((len(rows), 5)) if features is None else features
    has_targets = bool((plan or {}).get("target"))
    store = AuditStore(folder, methods, tuple(arrays), has_targets)
    record = {
        "audit": 1,
        "model": folder.name,
        "weights": folder.name,
        "preprocessing": {"size": 8},
        "labels": list(CLASSES),
        "data": "synthetic",
        "n_images": len(rows),
        "data_hash": "same",
        "methods": [{"name": name, "options": {}} for name in methods],
        "arrays": list(arrays),
        "layer": None,
        "seed": 0,
    }
    store.begin(record | dict(plan or {}))
    full = [complete(i, row) for i, row in enumerate(rows)]
    store.write(0, Chunk(full, {name: values.astype(np.float16) for name, values in arrays.items()}))
    correct = [row["correct"] for row in full if row["correct"] is not None]
    accuracy = sum(correct) / len(correct) if correct else None
    if has_targets:
        store.finish(summary(store))
        return Audit(folder)
    store.finish({"n_images": len(full), "n_errors": 0, "n_labelled": len(correct), "accuracy": accuracy})
    return Audit(folder)


def complete(i: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with what follows from its columns: names of classes, whether it is correct."""
    full: dict[str, Any] = {
        "index": i, "image": f"{i}.png", "split": "", "label_index": 0, "predicted_index": 0, "competing_index": 1,
        "width": 8, "height": 8, "brightness": 0.3 + 0.001 * i, "confidence": 0.8, "competing_confidence": 0.1,
    } | dict(row)  # fmt: skip
    for which in ("label", "predicted", "competing"):
        index = full[f"{which}_index"]
        full.setdefault(which, None if index is None else CLASSES[index])
    if "correct" not in full:
        known = full["label_index"] is not None
        full["correct"] = full["label_index"] == full["predicted_index"] if known else None
    return full
