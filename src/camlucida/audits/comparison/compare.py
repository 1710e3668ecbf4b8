"""The comparison of two audits of the same images: what a new model gets wrong, and which evidence it uses instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.audits.audit_result import Audit
from camlucida.audits.comparison.matching import ACCURACY, MatchedAudits, PairedValues, match_audits
from camlucida.audits.comparison.result import ALL, MIN_CHANGE, Comparison, ImageChange, Shift
from camlucida.audits.map_agreement import map_correlations
from camlucida.audits.rows import MAP_COLUMNS
from camlucida.evaluation.clustered import row_resamples
from camlucida.evaluation.statistics import (
    Floats,
    benjamini_hochberg,
    mcnemar_p,
    percentile_interval,
    resampled_means,
    wilcoxon_p,
)
from camlucida.types import ProgressCallback

MIN_IMAGES = 6
"""Smallest number of images of a test; with five, the two-sided p-value of a signed-rank test is at least 0.06."""
MIN_CORRELATION = 0.5
"""Rank correlation of the two maps of a class below which the reasons count as different."""
MIN_ENERGY_DROP = 0.25
"""Drop of the energy on the object above which the reasons count as different."""
MAX_LISTED = 200
COLUMNS = (*(name for name in MAP_COLUMNS if name != "scale"), "true_energy_in_box", "confidence")
"""Columns whose shift is tested, where both audits have them."""


def find_comparison(
    audit: Audit, against: Audit | str | Path, *, seed: int = 0, progress: ProgressCallback | None = None
) -> Comparison:
    """Compare an audit with an earlier one of the same images. No model is run.

    Args:
        audit: The new audit, complete.
        against: The earlier one, or its folder.
        seed: Seed of the bootstrap.
        progress: Called with the number of finished steps and their total.

    Raises:
        DataError: If an audit is not complete, their first methods differ, or they have no image in common.
    """
    old = against if isinstance(against, Audit) else Audit(Path(against))
    matched = match_audits(old, audit)
    if progress:
        progress(1, 2)
    result = compare_matched(matched, seed)
    if progress:
        progress(2, 2)
    return result


def compare_matched(matched: MatchedAudits, seed: int = 0) -> Comparison:
    """Compare two audits whose images have been matched."""
    correct = matched.paired(ACCURACY)
    lost, gained = (correct.old > correct.new), (correct.new > correct.old)
    same = matched.same("predicted")
    correlation = _correlations(matched, same)
    energies = [values.astype(np.float64) for values in matched.values("energy_in_box")]
    with np.errstate(invalid="ignore"):
        off_object = energies[0] - energies[1] > MIN_ENERGY_DROP
        reasons = np.flatnonzero(same & ((correlation < MIN_CORRELATION) | off_object))
    confidence = matched.values("confidence")[1]
    change = _Changes(matched, correlation, (energies[0], energies[1]))
    regressions, fixes = (_most(correct.rows[side], -confidence) for side in (lost, gained))
    known = correlation[~np.isnan(correlation)]
    return Comparison(
        old=_described(matched.old),
        new=_described(matched.new),
        matching=matched.record(),
        n_labelled=len(correct.rows),
        accuracy=(_mean(correct.old), _mean(correct.new)),
        mcnemar_p=mcnemar_p(int(lost.sum()), int(gained.sum()))
        if correct.images is None
        else wilcoxon_p(correct.independent_differences),
        n_regressions=int(lost.sum()),
        n_fixes=int(gained.sum()),
        n_flips=int((~same).sum()),
        n_different_reasons=len(reasons),
        median_correlation=float(np.median(known)) if len(known) else float("nan"),
        regressions=change.listed(regressions),
        fixes=change.listed(fixes),
        different_reasons=change.listed(_most(reasons, np.nan_to_num(correlation, nan=2.0))),
        shifts=tuple(_shifts(matched, seed)),
        notes=tuple(matched.sentences()),
        settings={
            "seed": seed,
            "min_images": MIN_IMAGES,
            "min_correlation": MIN_CORRELATION,
            "min_energy_drop": MIN_ENERGY_DROP,
            "min_change": MIN_CHANGE,
            "correction": "Benjamini-Hochberg",
            **({"rows": "targets"} if matched.new.has_targets else {}),
        },
    )


@dataclass(frozen=True, eq=False)
class _Changes:
    """The images of two matched audits as entries of a list."""

    matched: MatchedAudits
    correlation: Floats
    energies: tuple[Floats, Floats]

    def listed(self, positions: NDArray[np.int64]) -> tuple[ImageChange, ...]:
        matched = self.matched
        rows = matched.new_rows[positions]
        images, labels = (matched.new.column(name)[rows] for name in ("image", "label"))
        old, new = (values[positions] for values in matched.values("predicted"))
        return tuple(
            ImageChange(
                row=int(rows[i]),
                image=images[i],
                label=labels[i],
                old_predicted=old[i],
                new_predicted=new[i],
                map_correlation=float(self.correlation[position]),
                old_energy_in_box=float(self.energies[0][position]),
                new_energy_in_box=float(self.energies[1][position]),
            )
            for i, position in enumerate(positions)
        )


def _correlations(matched: MatchedAudits, same: NDArray[np.bool_]) -> Floats:
    """Return the rank correlation of the maps of the predicted class `(n,)`; NaN where that is not the same class."""
    correlations = map_correlations(
        matched.old.maps(None, "predicted")[matched.old_rows], matched.new.maps(None, "predicted")[matched.new_rows]
    )
    return np.where(same, correlations, np.nan)


def _shifts(matched: MatchedAudits, seed: int) -> list[Shift]:
    """Return the shift of every column, over all images and by class."""
    shifts = []
    for column in matched.columns():
        if column in COLUMNS or column == ACCURACY:
            values = matched.paired(column)
            groups = [(ALL, values), *((name, values.of(name)) for name in values.group_names())]
            shifts += [_shift(column, name, group, seed) for name, group in groups if len(group.rows) >= MIN_IMAGES]
    corrected = benjamini_hochberg([shift.p for shift in shifts])
    corrected_shifts = [
        Shift(**{**{field.name: getattr(shift, field.name) for field in fields(Shift)}, "p_corrected": float(p)})
        for shift, p in zip(shifts, corrected, strict=True)
    ]
    return sorted(corrected_shifts, key=_shift_order)


def _shift_order(shift: Shift) -> tuple[bool, bool, float]:
    """Return the key by which shifts are sorted: significant ones first, over all images first, the largest first."""
    return (not shift.differs, shift.group != ALL, -abs(shift.difference.value))


def _shift(column: str, group: str, values: PairedValues, seed: int) -> Shift:
    differences = values.differences
    counts = row_resamples(len(differences), values.images, seed=seed)
    resampled = np.concatenate([resampled_means(drawn, differences[:, None])[:, 0] for drawn in counts])
    p = difference_p(column, values.independent_differences, is_clustered=values.images is not None)
    interval = percentile_interval(float(differences.mean()), resampled, len(differences))
    return Shift(column, group, len(differences), _mean(values.old), _mean(values.new), interval, p, p)


def difference_p(
    column: str, differences: Floats, alternative: Any = "two-sided", *, is_clustered: bool = False
) -> float:
    """Return the p-value of paired differences: McNemar's exact test for the accuracy, else the signed-rank test.

    Args:
        column: The column.
        differences: New minus old, one for each image.
        alternative: As of `wilcoxon_p`.
        is_clustered: Whether they are means over the targets of an image, which are tested by the signed-rank test also
            for the accuracy.
    """
    if column == ACCURACY and not is_clustered:
        return mcnemar_p(int((differences > 0).sum()), int((differences < 0).sum()), alternative)
    return wilcoxon_p(differences, alternative)


def _described(audit: Audit) -> dict[str, Any]:
    return {"folder": str(audit.path), "model": audit.plan["model"], "weights": audit.plan["weights"]}


def _most(positions: NDArray[np.int64], key: Floats) -> NDArray[np.int64]:
    """Return the positions with the smallest key first, at most `MAX_LISTED`."""
    return positions[np.argsort(key[positions], kind="stable")][:MAX_LISTED]


def _mean(values: Sequence[float] | Floats) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
