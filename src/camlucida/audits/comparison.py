"""The comparison of two audits of the same images: what a new model gets wrong, and which evidence it uses instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.audits.audit_result import Audit
from camlucida.audits.json_values import json_values, number
from camlucida.audits.map_agreement import map_correlations
from camlucida.audits.matching import ACCURACY, MatchedAudits, PairedValues, match_audits
from camlucida.audits.rows import MAP_COLUMNS
from camlucida.evaluation.statistics import (
    SIGNIFICANCE_LEVEL,
    Floats,
    Interval,
    benjamini_hochberg,
    mcnemar_p,
    percentile_interval,
    resampled_means,
    resamples,
    wilcoxon_p,
)
from camlucida.types import ProgressCallback

ALL = "all images"
"""Name of the group of all images."""
MIN_IMAGES = 6
"""Smallest number of images of a test; with five, the two-sided p-value of a signed-rank test is at least 0.06."""
MIN_CORRELATION = 0.5
"""Rank correlation of the two maps of a class below which the reasons count as different."""
MIN_ENERGY_DROP = 0.25
"""Drop of the energy on the object above which the reasons count as different."""
MIN_CHANGE = 0.01
"""Smallest change of a mean that is reported: rounding of weights and other hardware change means by less."""
MAX_LISTED = 200
COLUMNS = (*(name for name in MAP_COLUMNS if name != "scale"), "true_energy_in_box", "confidence")
"""Columns whose shift is tested, where both audits have them."""


@dataclass(frozen=True)
class ImageChange:
    """One image on which the models differ.

    Attributes:
        row: Index of the row in the new audit.
        image: Name of the image.
        label: The label; None if it is unknown.
        old_predicted: Class that the old model predicts.
        new_predicted: Class that the new model predicts.
        map_correlation: Rank correlation of the maps of the predicted class; NaN if that is not the same class.
        old_energy_in_box: Energy on the object of the old map; NaN where unknown.
        new_energy_in_box: That of the new map.
    """

    row: int
    image: str
    label: str | None
    old_predicted: str
    new_predicted: str
    map_correlation: float
    old_energy_in_box: float
    new_energy_in_box: float

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ImageChange:
        """Return the change from its JSON values."""
        floats = ("map_correlation", "old_energy_in_box", "new_energy_in_box")
        return cls(**{**record, **{key: number(record[key]) for key in floats}})


@dataclass(frozen=True)
class Shift:
    """The change of one column over the images of one class, or over all.

    Attributes:
        column: The column.
        group: Name of the class, or "all images".
        n: Number of images.
        old: Mean of the old model.
        new: Mean of the new one.
        difference: Mean of new minus old, with its 95 % bootstrap interval.
        p: P-value of Wilcoxon's signed-rank test (of McNemar's exact test for the accuracy).
        p_corrected: `p` after the correction of Benjamini and Hochberg over all columns and classes.
    """

    column: str
    group: str
    n: int
    old: float
    new: float
    difference: Interval
    p: float
    p_corrected: float

    @property
    def differs(self) -> bool:
        """Whether the corrected p-value is significant, and the mean changes by at least 0.01."""
        return self.p_corrected <= SIGNIFICANCE_LEVEL and abs(self.difference.value) >= MIN_CHANGE

    def sentence(self) -> str:
        """Return the shift as a sentence."""
        return shift_sentence(
            self.column, self.group, self.n, self.old, self.new, f"corrected p = {self.p_corrected:.2g}"
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Shift:
        """Return the shift from its JSON values."""
        difference = Interval(**{key: number(value) for key, value in record["difference"].items()})
        floats = {key: number(record[key]) for key in ("old", "new", "p", "p_corrected")}
        names = {field.name for field in fields(cls)}
        return cls(**{**{key: record[key] for key in names}, **floats, "difference": difference})


@dataclass(frozen=True)
class Comparison:
    """The comparison of two audits.

    Attributes:
        old: Folder, model and weights of the earlier audit.
        new: The same of the new one.
        matching: How many images match, and what does not.
        n_labelled: Number of common images with a label.
        accuracy: Accuracy of the old and of the new model on them.
        mcnemar_p: P-value of McNemar's exact test of the accuracies.
        n_regressions: Number of images that the old model predicts correctly and the new one does not.
        n_fixes: Number of images of which the converse is true.
        n_flips: Number of images with different predictions.
        n_different_reasons: Number of images with the same prediction for different reasons: the rank correlation of
            the maps is below 0.5, or the energy on the object drops by more than 0.25.
        median_correlation: Median rank correlation of the maps where the predictions agree.
        regressions: The images, most confident new errors first; at most `MAX_LISTED`.
        fixes: Likewise.
        different_reasons: Likewise, the smallest correlations first.
        shifts: The significant ones first, over all images before those of classes, the largest first.
        notes: What does not match, in sentences.
        settings: What determines the result beside the data.
    """

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    matching: Mapping[str, Any]
    n_labelled: int
    accuracy: tuple[float, float]
    mcnemar_p: float
    n_regressions: int
    n_fixes: int
    n_flips: int
    n_different_reasons: int
    median_correlation: float
    regressions: tuple[ImageChange, ...]
    fixes: tuple[ImageChange, ...]
    different_reasons: tuple[ImageChange, ...]
    shifts: tuple[Shift, ...]
    notes: tuple[str, ...]
    settings: Mapping[str, Any]

    def sentences(self) -> list[str]:
        """Return the result in sentences."""
        n = self.matching["n"]
        sentences = [f"{n:,} images compared; the prediction differs on {self.n_flips:,}."]
        if self.n_labelled:
            sentences.append(
                f"Accuracy {self.accuracy[0]:.1%} before, {self.accuracy[1]:.1%} now: {self.n_regressions:,} "
                f"regressions and {self.n_fixes:,} fixes (McNemar's exact p = {self.mcnemar_p:.2g})."
            )
        sentences.append(
            f"On {self.n_different_reasons:,} of {n - self.n_flips:,} images with the same prediction, the reasons "
            "differ (low rank correlation of the maps, or evidence that moved off the object)."
        )
        shifts = [shift for shift in self.shifts if shift.differs and not self._repeats(shift)]
        for of_all in (True, False):
            sentences += [shift.sentence() for shift in shifts if (shift.group == ALL) == of_all][:4]
        if not any(shift.differs for shift in self.shifts):
            sentences.append("No significant shift of the evidence.")
        return [*sentences, *self.notes]

    def _repeats(self, shift: Shift) -> bool:
        """Return whether a shift of the true class is that of the predicted one, on the same number of images."""
        return shift.column.startswith("true_") and any(
            (other.column, other.group, other.n) == (shift.column.removeprefix("true_"), shift.group, shift.n)
            for other in self.shifts
        )

    def record(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        shifts = [
            {**json_values(shift), "differs": shift.differs, "sentence": shift.sentence()} for shift in self.shifts
        ]
        return {"schema_version": 1, "sentences": self.sentences(), **json_values(self), "shifts": shifts}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Comparison:
        """Return the finding from its JSON values."""
        values = {field.name: record[field.name] for field in fields(cls)}
        before, after = (number(value) for value in record["accuracy"])
        values |= {"accuracy": (before, after), "notes": tuple(record["notes"])}
        values |= {name: number(record[name]) for name in ("mcnemar_p", "median_correlation")}
        for name in ("regressions", "fixes", "different_reasons"):
            values[name] = tuple(ImageChange.from_record(each) for each in record[name])
        values["shifts"] = tuple(Shift.from_record(each) for each in record["shifts"])
        return cls(**values)


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
        mcnemar_p=mcnemar_p(int(lost.sum()), int(gained.sum())),
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
        },
    )


def shift_sentence(column: str, group: str, n: int, old: float, new: float, p: str) -> str:
    """Return the change of a column as a sentence."""
    where = "" if group == ALL else f" in class {group}"
    numbers = f"from {old:.3g} to {new:.3g} ({p}, {n:,} images)"
    if new == old:
        return f"{column} is the same{where}: {old:.3g} ({n:,} images)."
    verb = "falls" if new < old else "rises"
    if column.split(".")[-1] in ("energy_in_box", "true_energy_in_box"):
        return f"The model looks {'less' if new < old else 'more'} at the object{where}: {column} {verb} {numbers}."
    if column == ACCURACY:
        return f"The model is {'less' if new < old else 'more'} often correct{where}: accuracy {verb} {numbers}."
    return f"{column} {verb} {numbers}{where}."


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
    resampled = np.concatenate(
        [resampled_means(drawn, differences[:, None])[:, 0] for drawn in resamples(len(differences), seed=seed)]
    )
    p = difference_p(column, differences)
    interval = percentile_interval(float(differences.mean()), resampled, len(differences))
    return Shift(column, group, len(differences), _mean(values.old), _mean(values.new), interval, p, p)


def difference_p(column: str, differences: Floats, alternative: Any = "two-sided") -> float:
    """Return the p-value of paired differences: McNemar's exact test for the accuracy, else the signed-rank test."""
    if column == ACCURACY:
        return mcnemar_p(int((differences > 0).sum()), int((differences < 0).sum()), alternative)
    return wilcoxon_p(differences, alternative)


def _described(audit: Audit) -> dict[str, Any]:
    return {"folder": str(audit.path), "model": audit.plan["model"], "weights": audit.plan["weights"]}


def _most(positions: NDArray[np.int64], key: Floats) -> NDArray[np.int64]:
    """Return the positions with the smallest key first, at most `MAX_LISTED`."""
    return positions[np.argsort(key[positions], kind="stable")][:MAX_LISTED]


def _mean(values: Sequence[float] | Floats) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
