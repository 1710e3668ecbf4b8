"""GET /api/dataset/runs: which runs there are; POST /api/dataset/look: making one on the page."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.analysis_runs import Kind, Run, UnreadableRun
from camlucida.app.jobs import Job, answer
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.schemas import Name, Schema

router = APIRouter()


class RunInfo(Schema):
    """A run that can be shown.

    made      on this page, not given when it was started
    model     what the run calls its model; `asked`: the page's model that is the same, by its weights
    pictures  how many it is about; `shows`: whether the page has them
    finished  whether it went to its end
    notes     why pictures or maps cannot be shown
    error     why the run cannot be opened at all
    """

    id: str
    name: str
    kinds: list[Kind]
    made: bool
    model: str = ""
    asked: str | None = None
    data: str = ""
    pictures: int = 0
    seed: int = 0
    shows: bool = False
    finished: bool = True
    notes: list[str] = []
    error: str | None = None


class RunList(Schema):
    """Those given when the page was started, then those made on it."""

    runs: list[RunInfo]


class AnalysisRequest(Schema):
    """Look over so many pictures, drawn by `seed`; `maps`: measure the map of each, too, which takes about twice as
    long."""

    model: Name | None = None
    count: Literal[100, 300, 500, 1000] = 300
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    maps: bool = True


@router.get("/dataset/runs", responses={200: {"model": RunList}})
async def runs(request: Request, page: AppDep) -> Response:
    """The runs, and whether they are about a model and the pictures of this page."""
    return await answer(request, lambda job: RunList(runs=[info(run) for run in page.over.all()]))


@router.post("/dataset/look", responses={200: {"model": RunInfo}})
async def look(request: Request, page: AppDep, asked: AnalysisRequest) -> Response:
    """Go over pictures of the data set: where the model errs, and what it takes for alike.

    Stopped, it goes on where it was when the same is asked again.
    """

    def work(job: Job) -> RunInfo:
        return info(page.over.make(page.model(asked.model), asked.count, asked.seed, asked.maps, job.tick))

    return await answer(request, work, "long")


def info(run: Run | UnreadableRun) -> RunInfo:
    """Of a run, for the list."""
    if isinstance(run, UnreadableRun):
        return RunInfo(id=run.id, name=run.name, kinds=[], made=False, error=run.error)
    return RunInfo(
        id=run.id,
        name=run.name,
        kinds=run.kinds,
        made=run.id.startswith("m"),
        model=run.plan["model"],
        asked=run.model.name if run.model else None,
        data=run.plan["data"],
        pictures=run.plan["pictures"],
        seed=run.plan["seed"],
        shows=run.shows,
        finished=run.finished,
        notes=list(run.unlike),
    )
