"""What distinguishes the maps of correct from those of wrong predictions, over all images and within classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from camlucida.analysis.correct_vs_wrong import GroupDifference, group_differences
from camlucida.analysis.within_class import WithinClassDifference, within_class_difference
from camlucida.audits.audit_result import Audit
from camlucida.audits.findings.guess_detector import (
    N_FOLDS,
    OUTPUTS_AND_MAPS,
    OUTPUTS_ONLY,
    GuessDetector,
    combined_detectors,
    guess_detectors,
)
from camlucida.audits.json_values import json_values, number
from camlucida.audits.map_agreement import class_agreement, method_agreement
from camlucida.audits.plan import EXPLAINED_CLASSES
from camlucida.audits.rows import MAP_COLUMNS
from camlucida.evaluation.statistics import SIGNIFICANCE_LEVEL, Floats, Interval, holm_correction
from camlucida.types import ProgressCallback

MAX_IMAGES = 20_000
"""Largest number of images that are resampled; of more, a random sample is compared."""


@dataclass(frozen=True)
class Difference:
    """One statistic of the maps of correct and of wrong predictions.

    Attributes:
        overall: The comparison over all images, which the mix of classes may cause.
        within: The comparison within classes, which it cannot.
        within_corrected: P-value within classes after Holm's correction over all statistics.
    """

    overall: GroupDifference
    within: WithinClassDifference
    within_corrected: float

    @property
    def name(self) -> str:
        """Name of the statistic: a column of the table, `class_agreement`, or `METHOD.agreement`."""
        return self.overall.name

    @property
    def differs_within(self) -> bool:
        """Whether the difference within classes is significant."""
        return self.within_corrected <= SIGNIFICANCE_LEVEL


@dataclass(frozen=True)
class Differences:
    """The comparison of correct and wrong predictions of an audit.

    Attributes:
        differences: One per statistic, the smallest p-values within classes first.
        guess_detector: Scores that need no label as detectors of wrong predictions, by name; the largest area first.
        combined: Two logistic regressions, on the outputs and on outputs and maps; empty for too few images.
        combined_p: P-value of the difference of their areas; NaN likewise.
        n_correct: Number of correct predictions.
        n_wrong: Number of wrong ones.
        settings: What determines the result beside the data.
    """

    differences: tuple[Difference, ...]
    guess_detector: Mapping[str, GuessDetector]
    combined: Mapping[str, GuessDetector]
    combined_p: float
    n_correct: int
    n_wrong: int
    settings: Mapping[str, Any]

    def sentences(self) -> list[str]:
        """Return the result in sentences."""
        if not self.n_wrong or not self.n_correct:
            return ["There are no wrong predictions." if self.n_correct else "There are no correct predictions."]
        found = [
            f"{each.name} is {each.overall.right.value:.3g} for correct and {each.overall.wrong.value:.3g} for wrong "
            f"predictions; within classes the difference is {each.within.difference.value:.2g} (corrected p = "
            f"{each.within_corrected:.2g})."
            for each in self.differences
            if each.differs_within
        ]
        sentences = found[:5] or ["No statistic of the maps differs between correct and wrong predictions of a class."]
        if self.guess_detector:
            name, best = next(iter(self.guess_detector.items()))
            sentences.append(
                f"Of the single scores, {name} detects wrong predictions best: area under the ROC curve {best.auc:.3f} "
                f"({best.low:.3f} to {best.high:.3f})."
            )
        if self.combined:
            outputs, both = (self.combined[name].auc for name in (OUTPUTS_ONLY, OUTPUTS_AND_MAPS))
            adds = both > outputs and self.combined_p <= SIGNIFICANCE_LEVEL
            sentences.append(
                f"The maps {'add to' if adds else 'add nothing significant to'} the outputs as a detector of wrong "
                f"predictions: area {both:.3f} against {outputs:.3f} (p = {self.combined_p:.2g})."
            )
        return sentences

    def record(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        differences = [
            {
                **json_values(each.overall),
                "differs": each.overall.differs,
                "within_class": {
                    **json_values(each.within),
                    "corrected": json_values(each.within_corrected),
                    "differs": each.differs_within,
                },
            }
            for each in self.differences
        ]
        return {
            "schema_version": 1,
            "settings": json_values(self.settings),
            "sentences": self.sentences(),
            "n_correct": self.n_correct,
            "n_wrong": self.n_wrong,
            "differences": differences,
            "guess_detector": json_values(self.guess_detector),
            "combined": json_values(self.combined),
            "combined_p": json_values(self.combined_p),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Differences:
        """Return the finding from its JSON values."""
        detectors, combined = (
            {name: GuessDetector.from_record(each) for name, each in record[key].items()}
            for key in ("guess_detector", "combined")
        )
        return cls(
            tuple(_difference_from(each) for each in record["differences"]),
            detectors,
            combined,
            number(record["combined_p"]),
            int(record["n_correct"]),
            int(record["n_wrong"]),
            record["settings"],
        )


def find_differences(audit: Audit, *, seed: int = 0, progress: ProgressCallback | None = None) -> Differences:
    """Compare the maps of correct and of wrong predictions of an audit.

    Compared are the statistics of the maps of all methods, of the predicted, the competing and the true class; the rank
    correlation between the maps of the predicted and the competing class (that with the true class is 1 for every
    correct prediction, by definition); and the rank correlation between the methods.

    Args:
        audit: A complete audit.
        seed: Seed of the bootstrap and of the folds.
        progress: Called with the number of finished steps and their total.
    """
    correct = audit.column("correct")
    labelled = np.array([value is not None for value in correct])
    if audit.has_targets:  # a missed object is no prediction, and only its label says where it is
        labelled &= audit.column("outcome") != "missed"
    right = np.array([bool(value) for value in correct])
    names, values = statistics(audit)
    rows = np.flatnonzero(labelled)
    if len(rows) > MAX_IMAGES:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MAX_IMAGES])
    _report(progress, 1)
    both = bool(right[rows].any() and not right[rows].all())
    images = audit.images()
    of_rows = None if images is None else images[rows]
    overall = group_differences(names, values[rows], right[rows], seed, of_rows) if both else []
    _report(progress, 2)
    of_class = "predicted_index" if audit.has_targets else "label_index"  # false detections have no label
    classes = np.nan_to_num(audit.column(of_class), nan=-1).astype(np.int64)
    within = [
        within_class_difference(values[rows, k], right[rows], classes[rows], of_rows) for k in range(len(overall))
    ]
    corrected = holm_correction([each.p for each in within])
    differences = sorted(
        (Difference(*each) for each in zip(overall, within, corrected, strict=True)),
        key=lambda each: (np.isnan(each.within.p), each.within.p, each.overall.p),
    )
    _report(progress, 3)
    detectors = guess_detectors(audit, ~right, labelled)
    combined, p = combined_detectors(audit, ~right, labelled, seed)
    _report(progress, 4)
    settings = {"seed": seed, "max_images": MAX_IMAGES, "n_folds": N_FOLDS, "methods": list(audit.store.method_names)}
    by_area = sorted(detectors, key=lambda name: -detectors[name].auc)
    return Differences(
        tuple(differences),
        {name: detectors[name] for name in by_area},
        combined,
        p,
        int(right[labelled].sum()),
        int((~right[labelled]).sum()),
        settings,
    )


def statistics(audit: Audit) -> tuple[list[str], Floats]:
    """Return the names and values `(n, k)` of the statistics of the maps, without those that are never defined."""
    columns: dict[str, Floats] = {}
    for m, method in enumerate(audit.store.method_names):
        prefix = "" if m == 0 else f"{method}."
        for explained in EXPLAINED_CLASSES:
            of_class = "" if explained == "predicted" else f"{explained}_"
            columns |= {f"{prefix}{of_class}{name}": audit.column(f"{prefix}{of_class}{name}") for name in MAP_COLUMNS}
        columns[f"{prefix}class_agreement"] = class_agreement(audit, method)
        if m:
            columns[f"{method}.agreement"] = method_agreement(audit, method)
    known = {name: values for name, values in columns.items() if not np.isnan(values).all()}
    return list(known), np.column_stack(list(known.values())) if known else np.zeros((len(audit.table), 0))


def _report(progress: ProgressCallback | None, step: int, total: int = 4) -> None:
    if progress:
        progress(step, total)


def _difference_from(record: Mapping[str, Any]) -> Difference:
    within = record["within_class"]
    overall = GroupDifference(
        record["name"],
        _pair(record["n"]),
        _interval(record["right"]),
        _interval(record["wrong"]),
        _interval(record["difference"]),
        number(record["p"]),
        number(record["corrected"]),
    )
    inside = WithinClassDifference(
        _interval(within["difference"]), number(within["p"]), int(within["n_classes"]), _pair(within["n"])
    )
    return Difference(overall, inside, number(within["corrected"]))


def _interval(record: Mapping[str, Any]) -> Interval:
    return Interval(number(record["value"]), number(record["low"]), number(record["high"]))


def _pair(record: Any) -> tuple[int, int]:
    first, second = record
    return int(first), int(second)
