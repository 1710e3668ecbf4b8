"""POST /api/dataset/subset: the images that a search finds, or that are selected; GET /api/dataset/slices."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from camlucida.app.analysis_run import Run
from camlucida.app.app_state import Page
from camlucida.app.failures import NotFound
from camlucida.app.image_search import ImageSearch
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.scatter import MAX_POINTS
from camlucida.app.schemas import Schema
from camlucida.app.subsets import rows_of_cell
from camlucida.evaluation.store import Row

router = APIRouter(tags=["dataset"])

Index = Annotated[int, Field(ge=0, le=10_000_000)]


class SubsetRequest(Schema):
    """Images of a run that fulfil all given conditions.

    Attributes:
        run: The run.
        search: Words and `column:value` pairs, see `camlucida.app.image_search`.
        indices: Indices in the data set of the selected images.
        cell: A cell of the confusion matrix, as outputs of the model: label, predicted.
        slice: A slice of an audit: the number of the audit, and that of the slice in GET /api/dataset/slices.
    """

    run: Annotated[str, Field(min_length=2, max_length=60, pattern=r"^[rm][0-9a-f-]+$")]
    search: Annotated[str, Field(max_length=200)] = ""
    indices: Annotated[list[Index], Field(max_length=MAX_POINTS)] | None = None
    cell: tuple[Index, Index] | None = None
    slice: tuple[Index, Index] | None = None


class SubsetOut(Schema):
    """A subset of the images of a run.

    Attributes:
        id: Selects the subset in other requests about the run.
        n: The number of its images.
        n_wrong: How many of them are predicted wrongly.
        n_images: The number of all images of the run with a prediction.
        indices: Their indices in the data set.
        columns: The columns that can be searched.
    """

    id: str
    n: int
    n_wrong: int
    n_images: int
    indices: list[int]
    columns: list[str]


class SliceOut(Schema):
    """A slice of an audit: see `camlucida.app.subsets.AuditSlice`. Of `n` images, `n_listed` can be selected."""

    name: str
    n: int
    n_listed: int
    accuracy: float | None
    rest_accuracy: float | None
    is_worse: bool


class SliceList(Schema):
    """The slices of an audit, the worst first; empty if they are unknown, or about other images."""

    slices: list[SliceOut]


@router.post("/dataset/subset", responses={200: {"model": SubsetOut}})
async def subset(request: Request, page: AppDep, params: SubsetRequest) -> Response:
    """Return the images that a search finds, within those that are selected.

    The subset is kept for some time; `confusion` and `errors` return their part of it by its id.
    """

    def work(job: Job) -> SubsetOut:
        run = page.analysis_runs.find(params.run)
        search = ImageSearch(run.rows, page.data if run.has_images else None)
        rows = _selected(page, run, params, search.find(params.search))
        made = page.subsets.put(run, rows)
        return SubsetOut(
            id=made.id,
            n=len(rows),
            n_wrong=sum(row["correct"] is False for row in rows),
            n_images=len(search.rows),
            indices=[row["index"] for row in rows],
            columns=search.columns,
        )

    return await answer(request, work)


@router.get("/dataset/slices", responses={200: {"model": SliceList}})
async def slices(request: Request, page: AppDep, audit: Annotated[int, Query(ge=0, le=1000)]) -> Response:
    """Return the slices of an audit of the command line, if the app has its images."""

    def work(job: Job) -> SliceList:
        return SliceList(
            slices=[
                SliceOut(
                    name=one.name,
                    n=one.n,
                    n_listed=len(one.indices),
                    accuracy=one.accuracy,
                    rest_accuracy=one.rest_accuracy,
                    is_worse=one.is_worse,
                )
                for one in page.audit_slices.of(audit)
            ]
        )

    return await answer(request, work)


def _selected(page: Page, run: Run, params: SubsetRequest, rows: list[Row]) -> list[Row]:
    """Return the rows that are also in what is selected."""
    if params.cell is not None:
        rows = rows_of_cell(rows, *params.cell)
    indices = None if params.indices is None else set(params.indices)
    if params.slice is not None:
        audit, number = params.slice
        known = page.audit_slices.of(audit)
        if not run.has_images or number >= len(known):
            raise NotFound(f"There is no slice {number} of audit {audit} for the images of {run.name}.")
        within = set(known[number].indices)
        indices = within if indices is None else indices & within
    return rows if indices is None else [row for row in rows if row["index"] in indices]
