"""GET /api/dataset/runs: the list of runs; POST /api/dataset/analyse: compute one in the app."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.analysis_run import Kind, Run, UnreadableRun
from camlucida.app.app_state import Page
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.schemas import Name, Schema
from camlucida.errors import DataError

router = APIRouter()


class RunInfo(Schema):
    """A run that can be displayed.

    Attributes:
        computed: Whether it was computed in the app, not given on the command line.
        model: The model's name in the run.
        served_model: The model of the app with the same weights.
        n_images: The number of its images.
        has_images: Whether the app has these images.
        finished: Whether the run is complete.
        notes: Why images or maps cannot be displayed.
        error: Why the run cannot be opened.
    """

    id: str
    name: str
    kinds: list[Kind]
    computed: bool
    model: str = ""
    served_model: str | None = None
    data: str = ""
    n_images: int = 0
    seed: int = 0
    has_images: bool = False
    finished: bool = True
    notes: list[str] = []
    error: str | None = None


class AuditInfo(Schema):
    """An audit, whose report is a page of its own.

    Attributes:
        link: The path of its report.
        accuracy: Fraction of correct predictions; null without labels.
        error: Why the audit cannot be displayed.
    """

    link: str
    name: str
    model: str = ""
    data: str = ""
    n_images: int = 0
    accuracy: float | None = None
    error: str | None = None


class RunList(Schema):
    """The runs given on the command line, then those computed in the app; and the audits of the command line."""

    runs: list[RunInfo]
    audits: list[AuditInfo] = []


class AnalysisRequest(Schema):
    """An analysis of `n_images` images, selected by `seed`.

    `maps` also measures the map of each image, which takes about twice as long.
    """

    model: Name | None = None
    n_images: Literal[100, 300, 500, 1000] = 300
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    maps: bool = True


@router.get("/dataset/runs", responses={200: {"model": RunList}})
async def runs(request: Request, page: AppDep) -> Response:
    """Return the runs, and whether they belong to a model and to the images of this app."""
    numbers = range(len(page.audits.folders))
    return await answer(
        request,
        lambda job: RunList(
            runs=[info(run) for run in page.analysis_runs.all()],
            audits=[audit_info(page, number) for number in numbers],
        ),
    )


@router.post("/dataset/analyse", responses={200: {"model": RunInfo}})
async def analyse(request: Request, page: AppDep, params: AnalysisRequest) -> Response:
    """Analyse images of the data set: the errors of the model, and the embedding of its features.

    An interrupted analysis resumes when the same one is requested again.
    """

    def work(job: Job) -> RunInfo:
        return info(
            page.analysis_runs.analyse(
                page.model(params.model), params.n_images, params.seed, params.maps, job.progress
            )
        )

    return await answer(request, work, "long")


def audit_info(page: Page, number: int) -> AuditInfo:
    """Return the entry of an audit in the list."""
    audit = page.audits.audit(number)
    entry = AuditInfo(link=f"/audit/{number}", name=audit.path.name)
    try:
        plan, summary = audit.plan, audit.summary
    except DataError as error:
        return entry.model_copy(update={"error": str(error)})
    facts = {
        "model": plan["model"],
        "data": plan["data"],
        "n_images": plan["n_images"],
        "accuracy": summary["accuracy"],
    }
    return entry.model_copy(update=facts)


def info(run: Run | UnreadableRun) -> RunInfo:
    """Return the entry of a run in the list."""
    if isinstance(run, UnreadableRun):
        return RunInfo(id=run.id, name=run.name, kinds=[], computed=False, error=run.error)
    return RunInfo(
        id=run.id,
        name=run.name,
        kinds=run.kinds,
        computed=run.id.startswith("m"),
        model=run.plan["model"],
        served_model=run.model.name if run.model else None,
        data=run.plan["data"],
        n_images=run.plan["n_images"],
        seed=run.plan["seed"],
        has_images=run.has_images,
        finished=run.finished,
        notes=list(run.notes),
    )
