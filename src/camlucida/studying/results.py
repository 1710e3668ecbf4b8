"""What a study says: strengths and ratings with intervals, how far people agree, and metrics with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camlucida._escaping import csv_text
from camlucida._files import atomic_write
from camlucida.errors import DataError
from camlucida.evaluation import Evaluation
from camlucida.evaluation.statistics import Interval, kendall
from camlucida.seeds import check_seed
from camlucida.studying.bradley_terry import strengths
from camlucida.studying.store import Answer, Study

DRAWS = 500
HEADER = ("method", "strength", "low", "high", "rating", "rating_low", "rating_high", "won", "asked")


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

    def csv(self) -> str:
        """The standings as CSV, best first."""
        return csv_text(HEADER, (_row(standing) for standing in self.standings))

    def save(self, path: str | Path) -> Path:
        """As CSV, best first."""
        file = Path(path)
        atomic_write(file, self.csv())
        return file


def _row(s: Standing) -> list[object]:
    r = s.rating
    row = [s.strength.value, s.strength.low, s.strength.high, r.value, r.low, r.high]
    return [s.method, *(f"{x:.6g}" for x in row), s.won, s.asked]


def results(study: Study, evaluation: Evaluation | None = None, *, seed: int = 0) -> Results:
    """What follows from the answers; `DataError` where there are none.

    evaluation   of the same methods: then also how far its metrics agree with people

    Intervals: bootstrap over people and, within them, over their answers; over the answers where one person answered.
    """
    given = study.answers()
    if not given:
        raise DataError(f"{study.path} has no answers yet.")
    methods = list(study.about["methods"])
    rng = np.random.default_rng(check_seed(seed))
    pairs, rated, said = _table(given, methods)
    times = np.stack([np.ones(len(given)), *(_drawn(given, rng) for _ in range(DRAWS))])
    strong = strengths(np.tensordot(times, pairs, 1))
    with np.errstate(invalid="ignore"):
        ratings = (times @ (rated * said[:, None])) / (times @ rated)
    wins = pairs.sum(0)
    standings = [
        Standing(
            method,
            _interval(strong[0, k], strong[1:, k]),
            _interval(ratings[0, k], ratings[1:, k]),
            int(wins[k].sum()),
            int(wins[k].sum() + wins[:, k].sum()),
            int(rated[:, k].sum()),
        )
        for k, method in enumerate(methods)
    ]
    standings.sort(key=lambda s: -s.strength.value)
    return Results(
        tuple(standings),
        len({a.person for a in given}),
        len(given),
        _agreement(given),
        {} if evaluation is None else with_metrics(dict(zip(methods, strong[0], strict=True)), evaluation),
    )


def _table(given: Sequence[Answer], methods: Sequence[str]) -> tuple[NDArray[np.float64], ...]:
    """Of every answer (n, k, k) who won against whom, (n, k) who was rated, (n,) how; 0 elsewhere."""
    pairs, rated = np.zeros((len(given), len(methods), len(methods))), np.zeros((len(given), len(methods)))
    for i, a in enumerate(given):
        if a.kind == "pair":
            pairs[i, methods.index(a.winner), methods.index(a.loser)] = 1
        else:
            rated[i, methods.index(a.winner)] = 1
    return pairs, rated, np.array([a.rating for a in given], dtype=np.float64)


def _drawn(given: Sequence[Answer], rng: np.random.Generator) -> NDArray[np.float64]:
    """How many times each answer is counted: people are drawn with replacement, then answers of each."""
    by_person: dict[str, list[int]] = {}
    for i, a in enumerate(given):
        by_person.setdefault(a.person, []).append(i)
    people = [np.array(answers) for answers in by_person.values()]
    times = np.zeros(len(given))
    for person in rng.integers(0, len(people), len(people)):
        answers = people[person]
        np.add.at(times, answers[rng.integers(0, len(answers), len(answers))], 1)
    return times


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


def with_metrics(best: Mapping[str, float], evaluation: Evaluation) -> dict[str, float]:
    """Kendall's tau-b between the strengths of methods and each metric of an evaluation that has two of them or more.

    Of metrics that say which way is good; a low value is turned round first.
    """
    found = {}
    both = [method for method in best if method in evaluation.methods]
    for name, meaning in evaluation.values.items():
        if meaning.better == "neither" or len(both) < 2:
            continue
        sign = 1 if meaning.better == "high" else -1
        values = [sign * evaluation.summary(name, method).value for method in both]
        found[name] = rank_agreement(values, [best[method] for method in both])
    return found


def rank_agreement(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Kendall's tau-b of two rows of numbers, -1 to 1; NaN where one of them has no order, or holds NaN."""
    numbers = np.array([first, second], dtype=np.float64)
    return float("nan") if np.isnan(numbers).any() else float(kendall(numbers)[0, 1])
