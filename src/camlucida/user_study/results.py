"""Analysis of a study: Bradley-Terry strengths and ratings with intervals, agreement of participants and of metrics."""

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
from camlucida.evaluation.statistics import Interval, kendall, percentile_interval
from camlucida.seeds import check_seed
from camlucida.user_study.bradley_terry import bradley_terry_strengths
from camlucida.user_study.study import Answer, Study

N_BOOTSTRAP = 500
RANKING_COLUMNS = ("method", "strength", "low", "high", "rating", "rating_low", "rating_high", "n_won", "n_compared")
ANSWER_COLUMNS = ("person", "kind", "image", "winner", "loser", "rating", "seconds")


@dataclass(frozen=True)
class MethodRanking:
    """The result of one method.

    Attributes:
        method: Name of the method.
        strength: Bradley-Terry strength on the scale of logits, with mean 0, and its 95 % interval; the ends are NaN
            for fewer than `MIN_INTERVAL_SIZE` comparisons.
        rating: Mean rating from 1 to 5, with its interval; the ends are NaN for fewer than `MIN_INTERVAL_SIZE` ratings.
        n_won: Number of pairs that it won.
        n_compared: Number of pairs in which it was compared.
        n_rated: Number of ratings.
    """

    method: str
    strength: Interval
    rating: Interval
    n_won: int
    n_compared: int
    n_rated: int


@dataclass(frozen=True)
class PreferenceResults:
    """The results of all answers so far.

    Attributes:
        ranking: The methods, strongest first.
        people: Number of participants.
        answers: Number of answers.
        agreement: Fraction of agreement between two participants on the pairs that both answered; 0.5 is chance level,
            NaN without such pairs.
        metric_agreement: For each metric, Kendall's tau-b between its means and the strengths; empty without an
            evaluation.
    """

    ranking: tuple[MethodRanking, ...]
    people: int
    answers: int
    agreement: float
    metric_agreement: Mapping[str, float]

    def csv(self) -> str:
        """Return the ranking as CSV, best first."""
        return csv_text(RANKING_COLUMNS, (_row(ranking) for ranking in self.ranking))

    def save(self, path: str | Path) -> Path:
        """Write the ranking as CSV, best first.

        Args:
            path: File name.

        Returns:
            The file written.
        """
        file = Path(path)
        atomic_write(file, self.csv())
        return file


def _row(ranking: MethodRanking) -> list[object]:
    r = ranking.rating
    row = [ranking.strength.value, ranking.strength.low, ranking.strength.high, r.value, r.low, r.high]
    return [ranking.method, *(f"{x:.6g}" for x in row), ranking.n_won, ranking.n_compared]


def results(study: Study, evaluation: Evaluation | None = None, *, seed: int = 0) -> PreferenceResults:
    """Compute the results of the answers so far.

    Intervals are bootstrapped over participants and, within each, over their answers; with a single participant, over
    the answers.

    Args:
        study: The study.
        evaluation: An evaluation of the same methods, to compare its metrics with the participants.
        seed: Seed of the bootstrap.

    Returns:
        Ranking, agreement of participants, and agreement with metrics.

    Raises:
        DataError: If there are no answers.
    """
    answers = study.answers()
    if not answers:
        raise DataError(f"{study.path} contains no answers yet.")
    methods = list(study.metadata["methods"])
    rng = np.random.default_rng(check_seed(seed))
    pairs, rated, ratings_given = _answer_arrays(answers, methods)
    counts = np.stack([np.ones(len(answers)), *(_bootstrap_counts(answers, rng) for _ in range(N_BOOTSTRAP))])
    strengths = bradley_terry_strengths(np.tensordot(counts, pairs, 1))
    with np.errstate(invalid="ignore"):
        ratings = (counts @ (rated * ratings_given[:, None])) / (counts @ rated)
    wins = pairs.sum(0)
    ranking = [
        MethodRanking(
            method,
            percentile_interval(float(strengths[0, k]), strengths[1:, k], int(wins[k].sum() + wins[:, k].sum())),
            percentile_interval(float(ratings[0, k]), ratings[1:, k], int(rated[:, k].sum())),
            int(wins[k].sum()),
            int(wins[k].sum() + wins[:, k].sum()),
            int(rated[:, k].sum()),
        )
        for k, method in enumerate(methods)
    ]
    ranking.sort(key=lambda s: -s.strength.value)
    return PreferenceResults(
        tuple(ranking),
        len({a.person for a in answers}),
        len(answers),
        _agreement_between_people(answers),
        {} if evaluation is None else agreement_with_metrics(dict(zip(methods, strengths[0], strict=True)), evaluation),
    )


def answers_csv(study: Study) -> str:
    """Return all answers as CSV, one per line, with the names of the methods.

    Args:
        study: The study.

    Returns:
        The text. For a rating, `winner` is the rated method.
    """
    return csv_text(
        ANSWER_COLUMNS,
        ((a.person, a.kind, a.image, a.winner, a.loser, a.rating or "", f"{a.seconds:.3f}") for a in study.answers()),
    )


def _answer_arrays(answers: Sequence[Answer], methods: Sequence[str]) -> tuple[NDArray[np.float64], ...]:
    """Return who won against whom `(n, k, k)`, who was rated `(n, k)`, and the ratings `(n,)`; 0 elsewhere."""
    pairs, rated = np.zeros((len(answers), len(methods), len(methods))), np.zeros((len(answers), len(methods)))
    for i, a in enumerate(answers):
        if a.kind == "pair":
            pairs[i, methods.index(a.winner), methods.index(a.loser)] = 1
        else:
            rated[i, methods.index(a.winner)] = 1
    return pairs, rated, np.array([a.rating for a in answers], dtype=np.float64)


def _bootstrap_counts(answers: Sequence[Answer], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each answer is counted in one bootstrap resample of participants and of their answers."""
    by_person: dict[str, list[int]] = {}
    for i, a in enumerate(answers):
        by_person.setdefault(a.person, []).append(i)
    people = [np.array(answers) for answers in by_person.values()]
    counts = np.zeros(len(answers))
    for person in rng.integers(0, len(people), len(people)):
        indices = people[person]
        np.add.at(counts, indices[rng.integers(0, len(indices), len(indices))], 1)
    return counts


def _agreement_between_people(answers: Sequence[Answer]) -> float:
    """Return the fraction of agreement over all pairs of participants who answered the same pair."""
    winners_of_pair: dict[tuple[str, frozenset[str]], list[str]] = {}
    for a in answers:
        if a.kind == "pair":
            winners_of_pair.setdefault((a.image, frozenset((a.winner, a.loser))), []).append(a.winner)
    same = total = 0
    for winners in winners_of_pair.values():
        for i, winner in enumerate(winners):
            for other in winners[i + 1 :]:
                same, total = same + (winner == other), total + 1
    return same / total if total else float("nan")


def agreement_with_metrics(strengths_of: Mapping[str, float], evaluation: Evaluation) -> dict[str, float]:
    """Compute Kendall's tau-b between the strengths and every metric of an evaluation.

    Metrics without a better direction are left out, and the sign of those whose low values are better is inverted.

    Args:
        strengths_of: Strengths by name of the method.
        evaluation: An evaluation with at least two of these methods.

    Returns:
        Tau-b by name of the metric.
    """
    taus = {}
    shared_methods = [method for method in strengths_of if method in evaluation.methods]
    for name, column in evaluation.values.items():
        if column.better == "neither" or len(shared_methods) < 2:
            continue
        sign = 1 if column.better == "high" else -1
        values = [sign * evaluation.summary(name, method).value for method in shared_methods]
        taus[name] = kendall_tau(values, [strengths_of[method] for method in shared_methods])
    return taus


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Kendall's tau-b of two sequences of numbers, in [-1, 1]; NaN if either is constant or contains NaN."""
    numbers = np.array([first, second], dtype=np.float64)
    return float("nan") if np.isnan(numbers).any() else float(kendall(numbers)[0, 1])
