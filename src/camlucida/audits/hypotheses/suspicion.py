"""Suspicion: how much a cluster of explanations resembles a spurious cue, before any intervention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from camlucida.audits.hypotheses.arrays import AuditArrays
from camlucida.audits.hypotheses.candidates import Candidate

BORDER_AREA = 0.36
"""Fraction of the image in its outer tenth, on all sides: that of a constant map."""


@dataclass(frozen=True)
class Suspicion:
    """What makes a cluster suspicious. Each number is in [0, 1]; None if it is not known.

    Attributes:
        small: The fraction of the class that is not in the cluster.
        tight: 1 - tightness: its explanations are more alike than those of the class.
        separate: Its separation (mean silhouette), negative values as 0.
        outside_object: Mean fraction of the members' map outside the boxes or masks.
        at_border: Mean fraction of the members' map in the outer tenth of the image, from 0 for the area of the border
            to 1 for all of the map.
        predicts_correctness: Difference between the accuracies of the members and of the others.
    """

    small: float
    tight: float
    separate: float
    outside_object: float | None
    at_border: float | None
    predicts_correctness: float | None

    @property
    def value(self) -> float:
        """The mean of what is known."""
        known = [number for number in vars(self).values() if number is not None]
        return float(np.mean(known))


def suspicion_of(arrays: AuditArrays, candidate: Candidate) -> Suspicion:
    """Return the suspicion of a candidate from the rows of the audit."""
    prefix = "true_" if candidate.explained == "true" else ""
    members, others = candidate.members, candidate.others
    border = _mean(arrays, f"{prefix}energy_at_border", members)
    energy = _mean(arrays, f"{prefix}energy_in_box", members)
    accuracies = _accuracy(arrays, members), _accuracy(arrays, others)
    return Suspicion(
        small=1 - len(members) / candidate.n_class,
        tight=1 - min(1.0, candidate.tightness),
        separate=max(0.0, candidate.separation),
        outside_object=None if energy is None else 1 - energy,
        at_border=None if border is None else max(0.0, (border - BORDER_AREA) / (1 - BORDER_AREA)),
        predicts_correctness=None
        if accuracies[0] is None or accuracies[1] is None
        else abs(accuracies[0] - accuracies[1]),
    )


def _mean(arrays: AuditArrays, column: str, rows: np.ndarray) -> float | None:
    values = arrays.column(column)[rows]
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def _accuracy(arrays: AuditArrays, rows: np.ndarray) -> float | None:
    values = [value for value in arrays.column("correct")[rows] if value is not None]
    return float(np.mean(values)) if values else None
