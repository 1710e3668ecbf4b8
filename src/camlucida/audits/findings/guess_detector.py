"""Guess detectors: how well scores that need no label tell wrong predictions from correct ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.analysis.roc import roc_areas, roc_curve
from camlucida.audits.audit_result import Audit
from camlucida.audits.json_values import number
from camlucida.audits.map_agreement import class_agreement
from camlucida.evaluation.clustered import Images
from camlucida.evaluation.statistics import Floats
from camlucida.seeds import short_seed

MIN_WRONG = 20
"""Smallest number of wrong, and of correct, predictions with which the combined detectors are fitted."""
N_FOLDS = 5
OUTPUTS_ONLY, OUTPUTS_AND_MAPS = "outputs", "outputs_and_maps"
"""Names of the combined detectors."""


@dataclass(frozen=True)
class GuessDetector:
    """One score as a detector of wrong predictions.

    Attributes:
        auc: Area under the ROC curve: the probability that a wrong prediction has a higher score than a correct one.
        low: Lower end of DeLong's 95 % interval.
        high: Upper end.
        n: Number of labelled images with a score.
        n_wrong: Number of wrong predictions among them.
        roc: Points of the curve: false and true positive rate.
    """

    auc: float
    low: float
    high: float
    n: int
    n_wrong: int
    roc: tuple[tuple[float, float], ...]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> GuessDetector:
        """Return the detector from its JSON values."""
        auc, low, high = (number(record[key]) for key in ("auc", "low", "high"))
        points = tuple((float(x), float(y)) for x, y in record["roc"])
        return cls(auc, low, high, int(record["n"]), int(record["n_wrong"]), points)


def guess_scores(audit: Audit) -> dict[str, Floats]:
    """Return scores `(n,)` by name, each larger where a wrong prediction is suspected; none of them needs a label.

    Of the output: `confidence` (its negative), `prediction_entropy`, and `margin`, the negative difference to the
    competing class. Of the map of the predicted class: `entropy`, `energy_at_border`, and `class_agreement`, the rank
    correlation with the map of the competing class. `energy_in_box` (its negative) needs an annotated object.
    """
    return {
        "confidence": -audit.column("confidence"),
        "prediction_entropy": audit.column("prediction_entropy"),
        "margin": audit.column("competing_confidence") - audit.column("confidence"),
        "entropy": audit.column("entropy"),
        "energy_at_border": audit.column("energy_at_border"),
        "class_agreement": class_agreement(audit),
        "energy_in_box": -audit.column("energy_in_box"),
    }


def guess_detectors(audit: Audit, wrong: NDArray[np.bool_], labelled: NDArray[np.bool_]) -> dict[str, GuessDetector]:
    """Return the detector of each score that is known for both correct and wrong predictions.

    Args:
        audit: The audit.
        wrong: Whether each prediction is wrong `(n,)`.
        labelled: Which images have a label that is a class of the model `(n,)`.
    """
    scores, images = guess_scores(audit), audit.images()
    found = {}
    for name, values in scores.items():
        known = labelled & np.isfinite(values)
        if wrong[known].any() and not wrong[known].all():
            found[name] = _detector(values[known], wrong[known], None if images is None else images[known])
    return found


def combined_detectors(
    audit: Audit, wrong: NDArray[np.bool_], labelled: NDArray[np.bool_], seed: int = 0
) -> tuple[dict[str, GuessDetector], float]:
    """Return two logistic regressions, on the outputs and on outputs and maps, and the p-value of their difference.

    Each prediction is scored by a regression that was fitted without it, in five folds.

    Returns:
        The detectors by name, and the p-value of DeLong's paired test; empty and NaN if there are too few wrong or
        correct predictions.
    """
    scores = guess_scores(audit)
    outputs = ("confidence", "prediction_entropy", "margin")
    maps = tuple(name for name in scores if name not in (*outputs, "energy_in_box"))
    table = np.column_stack([scores[name] for name in (*outputs, *maps)])
    known = labelled & np.isfinite(table).all(1)
    y = wrong[known]
    if min(int(y.sum()), int((~y).sum())) < MIN_WRONG:
        return {}, float("nan")
    images = audit.images()
    of_rows = None if images is None else images[known]
    predicted = np.stack(
        [_out_of_fold(table[known][:, :width], y, seed, of_rows) for width in (len(outputs), len(outputs) + len(maps))]
    )
    detectors = {
        name: _detector(values, y, of_rows)
        for name, values in zip((OUTPUTS_ONLY, OUTPUTS_AND_MAPS), predicted, strict=True)
    }
    return detectors, roc_areas(predicted, y, of_rows).difference_p(0, 1)


def _out_of_fold(table: Floats, wrong: NDArray[np.bool_], seed: int, images: Images | None) -> Floats:
    """Return the score of each row `(n,)` by a regression that was fitted on the other folds.

    Rows of one image are in the same fold.
    """
    linear = need("sklearn.linear_model", extra="analysis", what="a combined guess detector")
    pipeline = need("sklearn.pipeline", extra="analysis", what="a combined guess detector")
    scaling = need("sklearn.preprocessing", extra="analysis", what="a combined guess detector")
    selection = need("sklearn.model_selection", extra="analysis", what="a combined guess detector")
    kind = selection.StratifiedKFold if images is None else selection.StratifiedGroupKFold
    folds = kind(N_FOLDS, shuffle=True, random_state=short_seed(seed))
    model = pipeline.make_pipeline(scaling.StandardScaler(), linear.LogisticRegression())
    scores: Floats = selection.cross_val_predict(
        model, table, wrong, groups=images, cv=folds, method="decision_function"
    )
    return scores


def _detector(scores: Floats, wrong: NDArray[np.bool_], images: Images | None) -> GuessDetector:
    area = roc_areas(scores[None], wrong, images).interval(0)
    points = tuple((float(x), float(y)) for x, y in roc_curve(scores, wrong))
    return GuessDetector(area.value, area.low, area.high, len(wrong), int(wrong.sum()), points)
