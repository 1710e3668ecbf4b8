"""What a study says: strengths and ratings with intervals, how far people agree, and metrics with them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camlucida.errors import DataError
from camlucida.evaluation import Evaluation
from camlucida.evaluation.statistics import Interval
from camlucida.saving import writing
from camlucida.studying.bradley_terry import strengths
from camlucida.studying.store import Answer, Study

DRAWS = 500


@dataclass(frozen=True)
class Standing:
    """How one method does.

    strength   Bradley-Terry, on the scale of logits, mean 0, with its 95 % interval
    rating     the mean of 1 to 5, with its interval
    won, asked in pairs; rated so many times
    """

    method: str
    strength: Interval
    rating: Interval
    won: int
    asked: int
    rated: int


@dataclass(frozen=True)
class Results:
    """Of all answers so far.

    agreement    of people: the share of pairs, asked of two or more, on which two of them say the same; 0.5 is chance
    with_metrics metric -> Kendall's tau-b between its means and the strengths; empty without an evaluation
    """

    standings: tuple[Standing, ...]
    people: int
    answers: int
    agreement: float
    with_metrics: Mapping[str, float]

    def save(self, path: str | Path) -> Path:
        """As CSV, best first."""
        file = Path(path)
        with writing(file), file.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.writer(lines)
            writer.writerow(
                ["method", "strength", "low", "high", "rating", "rating_low", "rating_high", "won", "asked"]
            )
            for s in self.standings:
                r = s.rating
                row = [s.strength.value, s.strength.low, s.strength.high, r.value, r.low, r.high]
                writer.writerow([s.method, *(f"{x:.6g}" for x in row), s.won, s.asked])
        return file


def results(study: Study, evaluation: Evaluation | None = None, *, seed: int = 0) -> Results:
    """What follows from the answers; `DataError` where there are none.

    evaluation   of the same methods: then also how far its metrics agree with people

    Intervals: bootstrap over people and, within them, over their answers; over the answers where one person answered.
    """
    given = study.answers()
    if not given:
        raise DataError(f"{study.path} has no answers yet.")
    methods = list(study.about["methods"])
    rng = np.random.default_rng(seed)
    drawn = [_drawn(given, rng) for _ in range(DRAWS)]
    best, ratings = _strengths(given, methods), _ratings(given, methods)
    again = np.stack([_strengths(some, methods) for some in drawn])
    rated_again = np.stack([_ratings(some, methods) for some in drawn])
    standings = []
    for k, method in enumerate(methods):
        pairs = [a for a in given if a.kind == "pair" and method in (a.winner, a.loser)]
        standings.append(
            Standing(
                method,
                _interval(best[k], again[:, k]),
                _interval(ratings[k], rated_again[:, k]),
                sum(a.winner == method for a in pairs),
                len(pairs),
                sum(a.kind == "rating" and a.winner == method for a in given),
            )
        )
    standings.sort(key=lambda s: -s.strength.value)
    return Results(
        tuple(standings),
        len({a.person for a in given}),
        len(given),
        _agreement(given),
        {} if evaluation is None else _with_metrics(dict(zip(methods, best, strict=True)), evaluation),
    )


def _strengths(given: Sequence[Answer], methods: Sequence[str]) -> NDArray[np.float64]:
    wins = np.zeros((len(methods), len(methods)))
    for a in given:
        if a.kind == "pair":
            wins[methods.index(a.winner), methods.index(a.loser)] += 1
    return strengths(wins)


def _ratings(given: Sequence[Answer], methods: Sequence[str]) -> NDArray[np.float64]:
    total, count = np.zeros(len(methods)), np.zeros(len(methods))
    for a in given:
        if a.kind == "rating":
            total[methods.index(a.winner)] += a.rating
            count[methods.index(a.winner)] += 1
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = total / count
    return found


def _drawn(given: Sequence[Answer], rng: np.random.Generator) -> list[Answer]:
    by_person: dict[str, list[Answer]] = {}
    for a in given:
        by_person.setdefault(a.person, []).append(a)
    people = list(by_person.values())
    chosen = [people[i] for i in rng.integers(0, len(people), len(people))]
    return [answers[i] for answers in chosen for i in rng.integers(0, len(answers), len(answers))]


def _interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    known = drawn[~np.isnan(drawn)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))


def _agreement(given: Sequence[Answer]) -> float:
    asked: dict[tuple[str, frozenset[str]], list[str]] = {}
    for a in given:
        if a.kind == "pair":
            asked.setdefault((a.picture, frozenset((a.winner, a.loser))), []).append(a.winner)
    same = total = 0
    for winners in asked.values():
        for i, one in enumerate(winners):
            for other in winners[i + 1 :]:
                same, total = same + (one == other), total + 1
    return same / total if total else float("nan")


def _with_metrics(best: Mapping[str, float], evaluation: Evaluation) -> dict[str, float]:
    """Of metrics that say which way is good; a low value is turned round first."""
    found = {}
    both = [method for method in best if method in evaluation.methods]
    for name, meaning in evaluation.values.items():
        if meaning.better == "neither" or len(both) < 2:
            continue
        sign = 1 if meaning.better == "high" else -1
        values = [sign * evaluation.summary(name, method).value for method in both]
        found[name] = kendall(values, [best[method] for method in both])
    return found


def kendall(one: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's tau-b: 1 for the same order, -1 for the opposite one; NaN where one of them has no order."""
    a, b = (np.sign(np.subtract.outer(x, x))[np.triu_indices(len(x), 1)] for x in (np.array(one), np.array(other)))
    ties = np.sqrt(float((a != 0).sum()) * float((b != 0).sum()))
    return float((a * b).sum() / ties) if ties else float("nan")
