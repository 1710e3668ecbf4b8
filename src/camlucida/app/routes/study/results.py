"""GET /api/study/results and tables of them: strengths, ratings, agreement. These name the methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.routes.study.current import StudyPerson, people_of, study_of
from camlucida.app.schemas import Range, Schema, known
from camlucida.errors import CamlucidaError
from camlucida.evaluation import Evaluation
from camlucida.user_study import answers_csv, results
from camlucida.user_study.results import MethodRanking, PreferenceResults, agreement_with_metrics

router = APIRouter()


class MethodRankingOut(Schema):
    """The ranking of one method: see `camlucida.user_study.results.MethodRanking`."""

    method: str
    strength: Range
    rating: Range
    n_won: int
    n_compared: int
    n_rated: int

    @classmethod
    def of(cls, ranking: MethodRanking) -> MethodRankingOut:
        """Return the ranking of a method."""
        return cls(
            method=ranking.method,
            strength=Range.of(ranking.strength),
            rating=Range.of(ranking.rating),
            n_won=ranking.n_won,
            n_compared=ranking.n_compared,
            n_rated=ranking.n_rated,
        )


class StudyMetrics(Schema):
    """The agreement of an evaluation's metrics with the participants.

    Attributes:
        run: The name of the evaluation's folder.
        methods: The methods of the study that the evaluation contains.
        taus: Kendall's tau-b between the means of each metric and the strengths; null if there is no order.
        problem: Why there are no numbers.
    """

    run: str
    methods: list[str]
    taus: dict[str, float | None]
    problem: str | None = None


class StudyResults(Schema):
    """The results so far: see `camlucida.user_study.results.PreferenceResults`."""

    ranking: list[MethodRankingOut]
    people: list[StudyPerson]
    total: int
    answers: int
    agreement: float | None
    metrics: list[StudyMetrics]


@router.get("/study/results", responses={200: {"model": StudyResults}})
async def show(request: Request, page: AppDep) -> Response:
    """Return strengths, ratings, agreement of participants, and their agreement with metrics. Names the methods."""

    def work(job: Job) -> StudyResults:
        study = study_of(page)
        preferences = results(study)
        return StudyResults(
            ranking=[MethodRankingOut.of(ranking) for ranking in preferences.ranking],
            people=people_of(study),
            total=sum(study.n_trials().values()),
            answers=preferences.answers,
            agreement=known(preferences.agreement),
            metrics=[m for run in page.runs if (m := _agreement(preferences, run, job)) is not None],
        )

    return await answer(request, work)


CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


@router.get("/study/results.csv", responses=CSV, response_class=Response)
async def results_csv(request: Request, page: AppDep) -> Response:
    """Return the ranking as a CSV file."""
    return await _table(request, "study-results.csv", lambda: results(study_of(page)).csv())


@router.get("/study/answers.csv", responses=CSV, response_class=Response)
async def all_answers_csv(request: Request, page: AppDep) -> Response:
    """Return all answers as a CSV file with the names of the methods."""
    return await _table(request, "study-answers.csv", lambda: answers_csv(study_of(page)))


def _agreement(preferences: PreferenceResults, run: Path, job: Job) -> StudyMetrics | None:
    """Return the agreement with the metrics of a run, or None if it is not an evaluation."""
    job.send("run", {"name": run.name})
    try:
        evaluation = Evaluation(run)
        if "metrics" not in evaluation.plan:
            return None
        strengths = {r.method: r.strength.value for r in preferences.ranking if r.n_compared}
        methods = [method for method in strengths if method in evaluation.methods]
        taus = {name: known(tau) for name, tau in agreement_with_metrics(strengths, evaluation).items()}
    except (CamlucidaError, OSError, ValueError, KeyError) as error:  # an unreadable run must not hide the results
        return StudyMetrics(run=run.name, methods=[], taus={}, problem=f"{run.name} cannot be read: {error}")
    problem = None if len(methods) > 1 else f"{run.name} contains fewer than two methods that were compared in pairs."
    return StudyMetrics(run=run.name, methods=methods, taus=taus, problem=problem)


async def _table(request: Request, name: str, table: Callable[[], str]) -> Response:
    content = await answer(request, lambda job: table().encode())
    content.headers["content-type"] = "text/csv; charset=utf-8"
    content.headers["content-disposition"] = f'attachment; filename="{name}"'
    content.headers["cache-control"] = "no-store"
    return content
