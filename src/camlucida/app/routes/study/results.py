"""GET /api/study/results and tables of it: strengths, ratings, agreement. These name the methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from camlucida.app.jobs import Job, answer
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.routes.study.current import StudyPerson, people_of, study_of
from camlucida.app.schemas import Range, Schema, known
from camlucida.errors import CamlucidaError
from camlucida.evaluation import Evaluation
from camlucida.user_study import answers_csv, results
from camlucida.user_study.results import MethodRanking, PreferenceResults, agreement_with_metrics

router = APIRouter()


class StudyStanding(Schema):
    """How one method does: see `camlucida.user_study.results.Standing`."""

    method: str
    strength: Range
    rating: Range
    won: int
    asked: int
    rated: int

    @classmethod
    def of(cls, one: MethodRanking) -> StudyStanding:
        return cls(
            method=one.method,
            strength=Range.of(one.strength),
            rating=Range.of(one.rating),
            won=one.n_won,
            asked=one.n_compared,
            rated=one.n_rated,
        )


class StudyMetrics(Schema):
    """How far the metrics of an evaluation agree with people.

    run       the name of its folder
    methods   of the study that the run has, too
    taus      metric -> Kendall's tau-b between its means and the strengths; None where one has no order
    problem   why there are no numbers, in a sentence
    """

    run: str
    methods: list[str]
    taus: dict[str, float | None]
    problem: str | None = None


class StudyResults(Schema):
    """What the answers say so far: see `camlucida.user_study.results.Results`."""

    standings: list[StudyStanding]
    people: list[StudyPerson]
    total: int
    answers: int
    agreement: float | None
    metrics: list[StudyMetrics]


@router.get("/study/results", responses={200: {"model": StudyResults}})
async def found(request: Request, page: AppDep) -> Response:
    """Strengths, ratings, how far people agree, and metrics with them. Names the methods."""

    def work(job: Job) -> StudyResults:
        study = study_of(page)
        now = results(study)
        return StudyResults(
            standings=[StudyStanding.of(one) for one in now.ranking],
            people=people_of(study),
            total=sum(study.n_trials().values()),
            answers=now.answers,
            agreement=known(now.agreement),
            metrics=[one for run in page.runs if (one := _compared(now, run, job)) is not None],
        )

    return await answer(request, work)


CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


@router.get("/study/results.csv", responses=CSV, response_class=Response)
async def found_csv(request: Request, page: AppDep) -> Response:
    """The standings as a table."""
    return await _table(request, "study-results.csv", lambda: results(study_of(page)).csv())


@router.get("/study/answers.csv", responses=CSV, response_class=Response)
async def said_csv(request: Request, page: AppDep) -> Response:
    """Every answer as a line of a table, by the methods' names."""
    return await _table(request, "study-answers.csv", lambda: answers_csv(study_of(page)))


def _compared(now: PreferenceResults, run: Path, job: Job) -> StudyMetrics | None:
    """With the metrics of a run, where it is an evaluation."""
    job.send("run", {"name": run.name})
    try:
        evaluation = Evaluation(run)
        if "metrics" not in evaluation.plan:
            return None
        strengths = {one.method: one.strength.value for one in now.ranking if one.n_compared}
        methods = [method for method in strengths if method in evaluation.methods]
        taus = {name: known(tau) for name, tau in agreement_with_metrics(strengths, evaluation).items()}
    except (CamlucidaError, OSError, ValueError, KeyError) as error:  # one broken run must not hide what people said
        return StudyMetrics(run=run.name, methods=[], taus={}, problem=f"{run.name} cannot be read: {error}")
    problem = None if len(methods) > 1 else f"{run.name} has fewer than two of the methods that pairs were asked of."
    return StudyMetrics(run=run.name, methods=methods, taus=taus, problem=problem)


async def _table(request: Request, name: str, written: Callable[[], str]) -> Response:
    made = await answer(request, lambda job: written().encode())
    made.headers["content-type"] = "text/csv; charset=utf-8"
    made.headers["content-disposition"] = f'attachment; filename="{name}"'
    made.headers["cache-control"] = "no-store"
    return made
