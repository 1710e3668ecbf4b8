"""What the numbers say, in sentences made from them and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from camlucida.evaluation.comparing import Agreement, Comparison
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.records import Summary
from camlucida.report.numbers import counted, listed, number, span

SAID = 4
"""Metrics that are put into words; the others stand in the tables."""
CONFLICT = -0.3


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What the paired tests say.

    comparisons   of every two methods, by every metric that judges, corrected together
    against       of every method with the strongest control that does not know the object, corrected together
    """

    found: Evaluation
    table: Mapping[tuple[str, str], Summary]
    comparisons: Sequence[Comparison]
    against: Sequence[Comparison]
    untrusted: Mapping[str, str]

    @property
    def methods(self) -> list[str]:
        return [m for m in self.found.methods if m not in self.found.controls]

    def measured(self, metric: str) -> list[Summary]:
        """The methods with a number, best first."""
        found = [self.table[metric, m] for m in self.methods if np.isfinite(self.table[metric, m].value)]
        return sorted(found, key=lambda s: s.value, reverse=self.found.values[metric].better == "high")

    def best(self, metric: str) -> list[str]:
        """The method that is better than every other by the paired test; several where their maps are the same."""
        order = self.measured(metric)
        if len(order) < 2 or self.found.values[metric].better == "neither" or metric in self.untrusted:
            return []
        first = order[0].method
        twins = [first, *(o.method for o in order[1:] if self.found.same(first, o.method))]
        rivals = [o.method for o in order if o.method not in twins]
        return twins if rivals and all(self.winner(metric, first, rival) == first for rival in rivals) else []

    def winner(self, metric: str, one: str, two: str) -> str:
        """Of two methods, "" where it cannot be said."""
        return next(
            (c.winner for c in self.comparisons if c.metric == metric and {c.first, c.second} == {one, two}), ""
        )


def sentences(verdicts: Verdicts, agreement: Agreement | None) -> list[str]:
    """The page's first words."""
    found = verdicts.found
    judging = [m for m, meaning in found.values.items() if meaning.better != "neither" and verdicts.measured(m)]
    said = [*_likenesses(found)]
    said += [_best(verdicts, metric) for metric in judging if metric not in verdicts.untrusted][:SAID]
    said += _controls(verdicts, [m for m in judging if m not in verdicts.untrusted])
    said += _right_and_wrong(verdicts, judging)
    said += _conflicts(agreement)
    if distrusted := [m for m in judging if m in verdicts.untrusted]:
        said.append(
            f"{listed(distrusted)} cannot tell the controls apart on this model and is not to be believed here."
            if len(distrusted) == 1
            else f"{listed(distrusted)} cannot tell the controls apart on this model and are not to be believed here."
        )
    said += _invalid(verdicts)
    return said


def _likenesses(found: Evaluation) -> list[str]:
    said = []
    for alike in found.likenesses:
        n = len(alike.differences)
        if not n:
            said.append(f"{alike.first} and {alike.second} could not be compared map by map.")
        elif alike.same:
            said.append(
                f"{alike.first} and {alike.second} are the same map up to a positive factor on all "
                f"{counted(n, 'picture')}: after scaling they differ by at most "
                f"{number(float(alike.differences.max()))} of the maximum, and "
                f"their rank correlation is at least {alike.correlations.min():.4f}. Between them there is no winner."
            )
        else:
            low, middle = float(alike.correlations.min()), float(np.median(alike.correlations))
            said.append(
                f"{alike.first} and {alike.second} are different maps: their rank correlation over "
                f"{counted(n, 'picture')} is {middle:.2f} in the middle and {low:.2f} at the least."
            )
    return said


def _best(verdicts: Verdicts, metric: str) -> str:
    order = verdicts.measured(metric)
    better = verdicts.found.values[metric].better
    first = order[0]
    head = f"By {metric} ({better} is good)"
    value = f"{number(first.value)} ({span(first.low, first.high)})"
    if len(order) == 1:
        return f"{head}, {first.method} has {value}."
    twins = [first.method, *(s.method for s in order[1:] if verdicts.found.same(first.method, s.method))]
    unclear = [
        s.method for s in order if s.method not in twins and verdicts.winner(metric, first.method, s.method) == ""
    ]
    if all(s.value == first.value for s in order):
        return f"{head}, all methods have {number(first.value)}."
    rest = len(order) - len(twins)
    if not unclear and rest:
        verb = "are" if len(twins) > 1 else "is"
        return f"{head}, {listed(twins)} {verb} best with {value}, and told apart from all {counted(rest, 'other')}."
    if not rest:
        return f"{head}, {listed(twins)} have {value}."
    verb = "have" if len(twins) > 1 else "has"
    return f"{head}, {listed(twins)} {verb} the best number, {value}, but cannot be told apart from {listed(unclear)}."


def _controls(verdicts: Verdicts, judging: Sequence[str]) -> list[str]:
    """Which methods are better than the strongest map that does not know where the object is."""
    said = []
    for metric in judging:
        those = [c for c in verdicts.against if c.metric == metric]
        if not those:
            continue
        control = those[0].second
        better = [c.first for c in those if c.winner == c.first]
        if len(better) == len(those):
            which = f"{listed(better)} {'is' if len(better) == 1 else 'are'} better than"
        elif better:
            which = f"only {listed(better)} can be told to be better than"
        else:
            which = f"{listed([c.first for c in those])} cannot be told to be better than"
        value = number(verdicts.table[metric, control].value)
        said.append(f"By {metric}, {which} {control} ({value}), the strongest map that does not know the object.")
    return said[:SAID]


def _right_and_wrong(verdicts: Verdicts, judging: Sequence[str]) -> list[str]:
    pictures = verdicts.found.pictures.values()
    known = [p for p in pictures if p.correct is not None]
    right = sum(bool(p.correct) for p in known)
    if not known:
        return []
    return [f"The model is right on {right:,} of {counted(len(known), 'picture')} with a known class."]


def _conflicts(agreement: Agreement | None) -> list[str]:
    if agreement is None:
        return []
    rows, columns = np.where(np.triu(agreement.high < CONFLICT, 1))
    return [
        f"{agreement.metrics[a]} and {agreement.metrics[b]} put the methods in opposite orders "
        f"(τ = {number(float(agreement.tau[a, b]))})."
        for a, b in list(zip(rows, columns, strict=True))[:SAID]
    ]


def _invalid(verdicts: Verdicts) -> list[str]:
    most: dict[str, tuple[int, int]] = {}
    for (_, method), summary in verdicts.table.items():
        if summary.invalid and not summary.control:
            most[method] = max(most.get(method, (0, 0)), (summary.invalid, summary.n))
    return [
        f"Of {counted(n, 'map')} of {method}, {invalid:,} could not be judged by at least one metric; "
        + ("it counts" if invalid == 1 else "they count")
        + " as worst."
        for method, (invalid, n) in most.items()
    ]
