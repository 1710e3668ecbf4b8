"""Conditions of an explanation regression test, such as "energy_in_box drops, p < .01": parsed and tested."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from camlucida.audits.comparison.compare import MIN_IMAGES, difference_p
from camlucida.audits.comparison.matching import ACCURACY, MatchedAudits, PairedValues
from camlucida.audits.comparison.result import ALL, MIN_CHANGE, shift_sentence
from camlucida.errors import DataError, nearest
from camlucida.evaluation.statistics import Floats, holm_correction

Verb: TypeAlias = Literal["drops", "rises", "changes"]
VERBS: tuple[Verb, ...] = ("drops", "rises", "changes")
DEFAULT_P = 0.05
SYNTAX = "COLUMN drops|rises|changes[, p < 0.01][, by > 0.05]; several conditions are separated by ;"
_VERB = re.compile(r"\s(drops|rises|changes)\s*(?=,|$)")
_LIMIT = re.compile(r"(p)\s*<\s*([0-9.eE+-]+)|(by)\s*>\s*([0-9.eE+-]+)\s*(%?)")


@dataclass(frozen=True)
class Condition:
    """A condition under which the test fails.

    Attributes:
        text: The condition as it was written.
        column: A column of the audit's table, or "accuracy".
        verb: The direction: of new minus old.
        p: The condition holds only if the corrected p-value is below this.
        by: The condition holds only if the column changes by more than this, in its units.
    """

    text: str
    column: str
    verb: Verb
    p: float = DEFAULT_P
    by: float = MIN_CHANGE

    def test(self, differences: Floats, *, is_clustered: bool = False) -> float:
        """Return the p-value of new minus old `(n,)`, uncorrected; `is_clustered` as of `difference_p`.

        The hypothesis is that the column changes by at most `by` in the direction of the verb: a signed-rank test of
        the differences plus or minus `by`. For the accuracy it is McNemar's exact test of no change, and `by` limits
        its observed change only.
        """
        by = 0.0 if self.column == ACCURACY else self.by
        drops, rises = (
            difference_p(self.column, shifted, alternative, is_clustered=is_clustered)
            if self.verb in (verb, "changes")
            else 1.0
            for verb, shifted, alternative in (
                ("drops", differences + by, "less"),
                ("rises", differences - by, "greater"),
            )
        )
        return min(1.0, 2 * min(drops, rises)) if self.verb == "changes" else min(drops, rises)


@dataclass(frozen=True)
class GroupTest:
    """The test of a condition on one class, or on all images.

    Attributes:
        group: Name of the class, or "all images".
        n: Number of images.
        old: Mean of the old model.
        new: Mean of the new one.
        p_corrected: P-value of a change by more than `by`, one-sided for "drops" and "rises", after Holm's correction
            over all images and the classes.
        holds: Whether the condition holds there.
    """

    group: str
    n: int
    old: float
    new: float
    p_corrected: float
    holds: bool

    def sentence(self, column: str) -> str:
        """Return the result as a sentence."""
        return shift_sentence(column, self.group, self.n, self.old, self.new, f"corrected p = {self.p_corrected:.2g}")


@dataclass(frozen=True)
class ConditionResult:
    """The result of a condition.

    Attributes:
        condition: The condition.
        tests: The tests on all images and on each class with enough of them.
    """

    condition: Condition
    tests: tuple[GroupTest, ...]

    @property
    def holds(self) -> bool:
        """Whether the condition holds on all images or on any class, so that the regression test fails."""
        return any(test.holds for test in self.tests)

    def sentences(self) -> list[str]:
        """Return where the condition holds, in sentences: all images first, then classes by the size of the change."""
        holding = sorted(
            (test for test in self.tests if test.holds), key=lambda test: (test.group != ALL, -abs(test.new - test.old))
        )
        return [test.sentence(self.condition.column) for test in holding]

    def record(self) -> dict[str, object]:
        """Return the result as JSON values."""
        tests = [vars(test) | {"sentence": test.sentence(self.condition.column)} for test in self.tests]
        return {**vars(self.condition), "holds": self.holds, "sentences": self.sentences(), "tests": tests}


def parse_conditions(text: str) -> list[Condition]:
    """Return the conditions of a text.

    Args:
        text: Conditions separated by ";". Each is a column and a verb, and optionally limits: "energy_in_box drops, p <
            .01, by > .05". Without a limit of p it is 0.05. Without one of `by` it is 0.01, and 0 for the accuracy; it
            may be a percentage of 1: "by > 5 %".

    Raises:
        DataError: If the text is not of this form; the message names the condition and the error.
    """
    conditions = [_parse(part.strip()) for part in text.split(";") if part.strip()]
    if not conditions:
        raise DataError(f"--fail-on has no condition. Write {SYNTAX}.")
    return conditions


def _parse(text: str) -> Condition:
    found = list(_VERB.finditer(text))
    if not found:
        word = text.split(",")[0].split()[-1]
        known = "" if len(text.split(",")[0].split()) < 2 else nearest(word, VERBS)
        raise DataError(f"--fail-on: {text!r} has no verb.{known} Write {SYNTAX}.")
    verb = found[-1]
    column, limits = text[: verb.start()].strip(), text[verb.end() :].strip()
    if not column:
        raise DataError(f"--fail-on: {text!r} names no column. Write {SYNTAX}.")
    values: dict[str, float] = {}
    for limit in filter(None, (part.strip() for part in limits.split(","))):
        match = _LIMIT.fullmatch(limit)
        if match is None:
            raise DataError(f"--fail-on: {limit!r} in {text!r} is no limit: write p < 0.01 or by > 0.05.")
        name, value = match[1] or match[3], match[2] or match[4]
        if name in values:
            raise DataError(f"--fail-on: {text!r} limits {name} twice.")
        try:
            values[name] = float(value) / (100 if match[5] else 1)
        except ValueError:
            raise DataError(f"--fail-on: {value!r} in {text!r} is not a number.") from None
    p, by = values.get("p", DEFAULT_P), values.get("by", 0.0 if column == ACCURACY else MIN_CHANGE)
    if not 0 < p <= 1:
        raise DataError(f"--fail-on: p is a probability, above 0 and at most 1, not {p:g}, in {text!r}.")
    if not 0 <= by < np.inf:
        raise DataError(f"--fail-on: {text!r} limits a change to {by:g}, which is not a number of at least 0.")
    return Condition(text, column, _as_verb(verb[1]), p, by)


def check_columns(conditions: Sequence[Condition], known: Sequence[str]) -> None:
    """Raise `DataError` for a condition on a column that is not among those that can be compared."""
    for condition in conditions:
        if condition.column not in known:
            raise DataError(
                f"--fail-on: no column {condition.column!r} to compare.{nearest(condition.column, known)} "
                f"Columns: {', '.join(known)}."
            )


def check_conditions(matched: MatchedAudits, conditions: Sequence[Condition]) -> list[ConditionResult]:
    """Test conditions on two matched audits.

    A condition is tested on all images and on each class with at least six, with Holm's correction over these tests: if
    nothing has changed, it holds with a probability of at most its limit of p.

    Raises:
        DataError: If a column cannot be compared, or has too few values: a test that cannot fail is none.
    """
    return [_check(matched, condition) for condition in conditions]


def _check(matched: MatchedAudits, condition: Condition) -> ConditionResult:
    check_columns([condition], matched.columns())
    values = matched.paired(condition.column)
    if len(values.rows) < MIN_IMAGES:
        why = "labels" if condition.column == ACCURACY else "values in both audits"
        hint = " It needs boxes or masks." if "energy_in_box" in condition.column else ""
        raise DataError(
            f"--fail-on: {condition.text!r} cannot be tested: {len(values.rows)} images have {why}, and at least "
            f"{MIN_IMAGES} are needed.{hint}"
        )
    groups = [(ALL, values), *((name, values.of(name)) for name in values.group_names())]
    groups = [(name, group) for name, group in groups if len(group.rows) >= MIN_IMAGES]
    if len(groups) == 2:  # a single class
        groups = groups[:1] if len(groups[0][1].rows) == len(groups[1][1].rows) else groups
    corrected = holm_correction(
        [condition.test(group.independent_differences, is_clustered=group.images is not None) for _, group in groups]
    )
    return ConditionResult(
        condition, tuple(_test(condition, name, group, p) for (name, group), p in zip(groups, corrected, strict=True))
    )


def _test(condition: Condition, name: str, values: PairedValues, p: float) -> GroupTest:
    change = float(values.differences.mean())
    size = {"drops": -change, "rises": change, "changes": abs(change)}[condition.verb]
    holds = p < condition.p and size > condition.by
    return GroupTest(name, len(values.rows), float(values.old.mean()), float(values.new.mean()), p, holds)


def _as_verb(text: str) -> Verb:
    return next(verb for verb in VERBS if verb == text)
