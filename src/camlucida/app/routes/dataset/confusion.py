"""GET /api/dataset/confusion and /api/dataset/cell: parts of the confusion matrix, and the images of a cell."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from camlucida.app.confusion_view import ConfusionView, MatrixPart
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dataset.common import MAX_ROWS, Find, Offset, RowPredictionList, RunId, SubsetId
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.schemas import Schema

router = APIRouter(tags=["dataset"])
N_PAIRS = 12
"""The number of most frequent confusions to list."""


class ClassOut(Schema):
    """A class by the model's output."""

    output: int
    name: str


class MatrixRow(ClassOut):
    """A row of the matrix: `total` images, of which `others` are predicted as classes without a column."""

    total: int
    others: int


class PairOut(Schema):
    """`count` of the `total` images of the class `label` are predicted as `predicted`."""

    label: ClassOut
    predicted: ClassOut
    count: int
    total: int


class MatrixOut(Schema):
    """Some rows of the confusion matrix.

    Attributes:
        classes: The number of all classes.
        matching: The number of classes to page through.
    """

    rows: list[MatrixRow]
    columns: list[ClassOut]
    counts: list[list[int]]
    classes: int
    matching: int
    offset: int
    pairs: list[PairOut]


@router.get("/dataset/confusion", responses={200: {"model": MatrixOut}})
async def confusion(
    request: Request,
    page: AppDep,
    run: RunId,
    find: Find = "",
    offset: Offset = 0,
    most: bool = True,
    subset: SubsetId = "",
) -> Response:
    """Return part of the confusion matrix, of all images or of a subset.

    With `most`, the block of the most confused classes; else 20 classes from `offset`, lowest accuracy first.
    """

    def work(job: Job) -> MatrixOut:
        analysis_run = page.analysis_runs.find(run)
        view = page.subsets.find(subset, analysis_run).confusion_view if subset else analysis_run.confusion_view
        if most and not find:
            return _matrix(view, view.block(), 0)
        return _matrix(view, view.page(find, offset), offset)

    return await answer(request, work)


@router.get("/dataset/cell", responses={200: {"model": RowPredictionList}})
async def cell(
    request: Request,
    page: AppDep,
    run: RunId,
    label_index: Annotated[int, Query(ge=0, le=10_000_000)],
    predicted_index: Annotated[int, Query(ge=0, le=10_000_000)],
    offset: Offset = 0,
    n: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 6,
) -> Response:
    """Return the images of a cell of the matrix, by outputs of the model; the most confident first."""

    def work(job: Job) -> RowPredictionList:
        analysis_run = page.analysis_runs.find(run)
        return RowPredictionList.page(
            analysis_run, analysis_run.confusion_view.images(label_index, predicted_index), offset, n
        )

    return await answer(request, work)


def _matrix(view: ConfusionView, part: MatrixPart, offset: int) -> MatrixOut:
    def named(output: int) -> ClassOut:
        return ClassOut(output=output, name=view.name(output))

    return MatrixOut(
        rows=[
            MatrixRow(output=o, name=view.name(o), total=int(total), others=int(total - counts.sum()))
            for o, total, counts in zip(part.rows, part.totals, part.counts, strict=True)
        ],
        columns=[named(o) for o in part.columns],
        counts=part.counts.tolist(),
        classes=view.count,
        matching=part.matching,
        offset=offset,
        pairs=[
            PairOut(label=named(label), predicted=named(predicted), count=count, total=total)
            for label, predicted, count, total in view.pairs(N_PAIRS)
        ],
    )
