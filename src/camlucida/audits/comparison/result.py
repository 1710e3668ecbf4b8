"""The result of a comparison of two audits, as numbers, sentences and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from camlucida.audits.comparison.matching import ACCURACY
from camlucida.audits.json_values import json_values, number
from camlucida.evaluation.statistics import SIGNIFICANCE_LEVEL, Interval

ALL = "all images"
"""Name of the group of all images."""
MIN_CHANGE = 0.01
"""Smallest change of a mean that is reported: rounding of weights and other hardware change means by less."""


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
        n, rows = self.matching["n"], self.settings.get("rows", "images")
        rate = "Accuracy" if rows == "images" else "Fraction of correct ones among correct, false and missed targets"
        sentences = [f"{n:,} {rows} compared; the prediction differs on {self.n_flips:,}."]
        if self.n_labelled:
            sentences.append(
                f"{rate} {self.accuracy[0]:.1%} before, {self.accuracy[1]:.1%} now: {self.n_regressions:,} "
                f"regressions and {self.n_fixes:,} fixes (McNemar's exact p = {self.mcnemar_p:.2g})."
            )
        sentences.append(
            f"On {self.n_different_reasons:,} of {n - self.n_flips:,} {rows} with the same prediction, the reasons "
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
