"""Accuracy and calibration of an audited model, for all images and for subgroups of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.analysis.calibration import N_BINS, calibration
from camlucida.analysis.confusion import wilson_interval
from camlucida.audits.audit_result import Audit
from camlucida.audits.targets.wording import kind_of_rows, wording_of
from camlucida.evaluation.clustered import Images, effective_size, row_resamples
from camlucida.evaluation.statistics import Floats, percentile_interval
from camlucida.reliability.confidence import MAX_RELATIVE_ENTROPY

MIN_SUBGROUP = 10
"""Smallest number of labelled images of a subgroup that is measured."""

MAX_VALUES = 50
"""Largest number of values of a metadata column whose values are subgroups; more are identifiers or measurements."""

N_DRAWS = 200
"""Bootstrap resamples of a calibration error."""


def performance(audit: Audit, seed: int = 0) -> dict[str, Any]:
    """Return accuracy and calibration of all images and of each subgroup.

    Args:
        audit: The audit.
        seed: Seed of the bootstrap.

    Returns:
        "status": "measured" or "not measured", with a "reason"; "overall"; and "subgroups": one entry per column and
        value, with "n", "accuracy", "ece" (each with "value", "low" and "high") and "ece_by_chance", the 95th
        percentile of the calibration error of a perfectly calibrated model with the same confidences. Where rows are
        boxes, regions or words, "accuracy" is the precision, n counts predictions, and each entry has the "recall" of
        its "n_objects" as well (None without any). Subgroups are not compared with each other here; the finding
        `slices` does that, with corrected p-values.
    """
    correct = np.array([value is not None and bool(value) for value in audit.column("correct")])
    labelled = np.array([value is not None for value in audit.column("correct")])
    if audit.has_targets:  # of detections: a missed object is no prediction
        labelled &= audit.column("outcome") != "missed"
    confidence = audit.column("confidence").astype(np.float64)
    images = audit.images()
    if not labelled.any():
        reason = "no prediction can be judged" if audit.has_targets else "the images have no labels"
        return {"status": "not measured", "reason": reason, "overall": None, "subgroups": []}
    subgroups, small = [], 0
    for column, value, members in groups(audit):
        chosen = members[labelled[members]]
        if len(chosen) < MIN_SUBGROUP:
            small += 1
            continue
        subgroups.append(
            {
                "column": column,
                "value": value,
                **_numbers(correct[chosen], confidence[chosen], seed, _of(images, chosen)),
                **_recall(audit, members),
            }
        )
    return {
        "status": "measured",
        "of": f"judged {wording_of(audit).predictions}" if audit.has_targets else "labelled images",
        **({"kind": kind_of_rows(audit)} if audit.has_targets else {}),
        "overall": {
            **_numbers(correct[labelled], confidence[labelled], seed, _of(images, labelled)),
            **_recall(audit, np.arange(len(correct))),
        },
        "subgroups": subgroups,
        "n_subgroups_too_small": small,
    }


def groups(audit: Audit) -> Iterator[tuple[str, str, NDArray[np.int64]]]:
    """Yield the column, the value and the rows of each subgroup: by class, split, and column of the metadata.

    A false detection has no label, and belongs to the class that it is predicted as.
    """
    columns: dict[str, list[str | None]] = {name: list(audit.column(name)) for name in ("label", "split")}
    if audit.has_targets:
        labels, predicted = columns.pop("label"), audit.column("predicted")
        columns = {"class": [b if a is None else a for a, b in zip(labels, predicted, strict=True)], **columns}
    metadata = [json.loads(text) if text else {} for text in audit.column("metadata")]
    for name in sorted({name for entry in metadata for name in entry}):
        values = [entry.get(name) for entry in metadata]
        columns[f"metadata.{name}"] = [None if value is None else str(value) for value in values]
    for name, entries in columns.items():
        different = sorted({value for value in entries if value is not None})
        if len(different) < 2 or (name.startswith("metadata.") and len(different) > MAX_VALUES):
            continue
        for text in different:
            yield name, text, np.array([i for i, value in enumerate(entries) if value == text], dtype=np.int64)


def abstentions(audit: Audit) -> dict[str, Any]:
    """Return how often the model or the map says nothing: guesses, maps that are zero, and images with errors.

    A prediction with a normalised entropy of at least 0.5 counts as a guess, as in `trust`.
    """
    n_classes = len(audit.plan.get("labels", ())) or _n_outputs(audit)
    entropy = audit.column("prediction_entropy").astype(np.float64)
    predicted = np.isfinite(entropy)
    empty = np.isnan(audit.column("entropy").astype(np.float64)) & predicted
    result: dict[str, Any] = {
        "maps_without_positive_evidence": _proportion(int(empty.sum()), int(predicted.sum())),
        "errors": _proportion(len(audit.error_rows()), len(audit.rows)),
    }
    if n_classes and n_classes > 1:
        guesses = entropy[predicted] / math.log(n_classes) >= MAX_RELATIVE_ENTROPY
        result["guesses"] = _proportion(int(guesses.sum()), len(guesses))
    else:
        result["guesses"] = {"status": "not measured", "reason": "the number of classes is unknown"}
    return result


def _recall(audit: Audit, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return the fraction of the objects of some rows that were found; nothing where rows are images."""
    if not audit.has_targets:
        return {}
    outcome = audit.column("outcome")[rows]
    is_object = (outcome == "correct") | (outcome == "missed")
    if not is_object.any():
        return {"n_objects": 0, "recall": None}
    found = (outcome[is_object] == "correct").astype(np.float64)
    images = audit.images()
    n = float(len(found)) if images is None else effective_size(found, images[rows[is_object]])
    interval = wilson_interval(float(found.mean()) * n, n)
    return {"n_objects": len(found), "recall": interval_record(interval.value, interval.low, interval.high)}


def _of(images: Images | None, rows: NDArray[Any]) -> Images | None:
    return None if images is None else images[rows]


def _numbers(correct: NDArray[np.bool_], confidence: Floats, seed: int, images: Images | None = None) -> dict[str, Any]:
    known = np.isfinite(confidence)
    images = _of(images, known)
    correct, confidence = correct[known], confidence[known]
    accuracy = wilson_interval(int(correct.sum()), len(correct))
    if images is not None:
        n = effective_size(correct.astype(np.float64), images)
        accuracy = wilson_interval(accuracy.value * n, n)
    error = calibration(confidence, correct, seed=seed)
    every = row_resamples(len(correct), images, N_DRAWS, seed)
    drawn = np.concatenate([_errors(draws, correct, confidence) for draws in every])
    drawn = np.clip(drawn - drawn.mean() + error.ece, 0, 1)  # resamples have a larger error than the sample, on average
    ece = percentile_interval(error.ece, drawn, len(correct))
    return {
        "n": len(correct),
        "accuracy": interval_record(accuracy.value, accuracy.low, accuracy.high),
        "mean_confidence": float(confidence.mean()),
        "ece": interval_record(ece.value, ece.low, ece.high),
        "ece_by_chance": error.chance[1],
    }


def _errors(draws: Floats, correct: NDArray[np.bool_], confidence: Floats) -> Floats:
    """Return the expected calibration error `(draws,)` of resamples, given as counts `(draws, n)`."""
    bins = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    gaps = np.zeros((len(correct), N_BINS))
    gaps[np.arange(len(correct)), bins] = correct.astype(np.float64) - confidence
    errors: Floats = np.abs(draws @ gaps).sum(1) / draws.sum(1).clip(1)
    return errors


def interval_record(value: float, low: float, high: float) -> dict[str, float | None]:
    """Return a value with its interval as JSON can represent it: None for NaN."""
    return {name: v if math.isfinite(v) else None for name, v in (("value", value), ("low", low), ("high", high))}


def _proportion(hits: int, n: int) -> dict[str, Any]:
    if not n:
        return {"status": "not measured", "reason": "there are no images", "n": 0}
    interval = wilson_interval(hits, n)
    return {
        "status": "measured",
        "n": n,
        "count": hits,
        **interval_record(interval.value, interval.low, interval.high),
    }


def _n_outputs(audit: Audit) -> int | None:
    """Return the number of outputs of the model, if it is available and known."""
    return len(audit.model.labels) or None if audit.model is not None else None
