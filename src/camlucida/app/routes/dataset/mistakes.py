"""The errors of a model: accuracy, parts of the confusion matrix, the images of a cell, the list of errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from camlucida._escaping import csv_text
from camlucida.analysis.mistakes_result import STORED_COLUMNS
from camlucida.app.analysis_runs import Run
from camlucida.app.confusion_view import Part
from camlucida.app.jobs import Job, answer
from camlucida.app.routes.dataset.common import Failed, Find, Offset, RunId, Said
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.schemas import Range, Schema, known
from camlucida.evaluation.store import Row
from camlucida.report.mistakes_page import MEANINGS, sentences

router = APIRouter(tags=["dataset"])
FAILURES, PAIRS = 50, 12
ROWS = 50
CHUNK = 500


class BinOf(Schema):
    """A bin of the reliability diagram: predictions with similar confidence.

    `confidence` and `accuracy` are null if the bin is empty.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


class Calibrated(Schema):
    """The calibration of a model: see `camlucida.analysis.calibration`."""

    ece: float
    adaptive: float
    gap: float
    chance: tuple[float, float]
    off: bool
    temperature: float | None
    bins: list[BinOf]


class ContrastOf(Schema):
    """A statistic of the maps of correct and of wrong predictions; `n`: the number of images of each."""

    name: str
    meaning: str
    n: tuple[int, int]
    right: Range
    wrong: Range
    difference: Range
    p: float | None
    differs: bool


class Overall(Schema):
    """Results over all images of a run.

    Attributes:
        judged: The number of images with a label that the model has.
        wrong: How many of those are predicted wrongly.
    """

    run: str
    rows: int
    judged: int
    wrong: int
    accuracy: Range
    top5: Range
    calibration: Calibrated | None
    contrasts: list[ContrastOf]
    sentences: list[str]
    method: str
    layer: str | None
    failures: list[Failed]
    failed: int


class ClassOf(Schema):
    """A class by the model's output."""

    output: int
    name: str


class RowOf(ClassOf):
    """A row of the matrix: `total` images, of which `others` are predicted as classes without a column."""

    total: int
    others: int


class PairOf(Schema):
    """`count` of the `total` images of `truth` are predicted as `said`."""

    truth: ClassOf
    said: ClassOf
    count: int
    total: int


class MatrixOf(Schema):
    """Some rows of the confusion matrix.

    Attributes:
        classes: The number of all classes.
        matching: The number of classes to page through.
    """

    rows: list[RowOf]
    columns: list[ClassOf]
    counts: list[list[int]]
    classes: int
    matching: int
    offset: int
    pairs: list[PairOf]


class SaidList(Schema):
    """Some of `total` images, from `offset`."""

    items: list[Said]
    total: int
    offset: int


@router.get("/dataset/overall", responses={200: {"model": Overall}})
async def overall(request: Request, page: AppDep, run: RunId) -> Response:
    """Return accuracy, calibration, and the maps of correct and wrong predictions in comparison."""
    return await answer(request, lambda job: _overall(page.over.find(run)))


@router.get("/dataset/confusion", responses={200: {"model": MatrixOf}})
async def confusion(
    request: Request, page: AppDep, run: RunId, find: Find = "", offset: Offset = 0, most: bool = True
) -> Response:
    """Return part of the confusion matrix.

    With `most`, the block of the most confused classes; else 20 classes from `offset`, lowest accuracy first.
    """

    def work(job: Job) -> MatrixOf:
        confused = page.over.find(run).confused
        if most and not find:
            return _matrix(page.over.find(run), confused.block(), 0)
        return _matrix(page.over.find(run), confused.page(find, offset), offset)

    return await answer(request, work)


@router.get("/dataset/cell", responses={200: {"model": SaidList}})
async def cell(
    request: Request,
    page: AppDep,
    run: RunId,
    truth: Annotated[int, Query(ge=0, le=10_000_000)],
    said: Annotated[int, Query(ge=0, le=10_000_000)],
    offset: Offset = 0,
    n: Annotated[int, Query(ge=1, le=ROWS)] = 6,
) -> Response:
    """Return the images of a cell of the matrix, by outputs of the model; the most confident first."""

    def work(job: Job) -> SaidList:
        analysis_run = page.over.find(run)
        return _page(analysis_run, analysis_run.confused.pictures(truth, said), offset, n)

    return await answer(request, work)


Sort = Literal["confidence", "name", "label", "said", "rank"]
SORTS: dict[Sort, Callable[[Row], Any]] = {
    "confidence": lambda row: row["confidence"],
    "name": lambda row: _natural(row["picture"]),
    "label": lambda row: row["label"],
    "said": lambda row: row["said"],
    "rank": lambda row: row["rank"],
}


@router.get("/dataset/errors", responses={200: {"model": SaidList}})
async def errors(
    request: Request,
    page: AppDep,
    run: RunId,
    sort: Sort = "confidence",
    descending: bool = True,
    find: Find = "",
    offset: Offset = 0,
    n: Annotated[int, Query(ge=1, le=ROWS)] = 20,
) -> Response:
    """Return the wrong predictions, by default the most confident first.

    `find`: words in the name of the image, or in either class.
    """

    def work(job: Job) -> SaidList:
        analysis_run = page.over.find(run)
        words = find.lower().split()
        matching_rows = [row for row in analysis_run.mistakes.errors() if all(word in _text(row) for word in words)]
        return _page(analysis_run, sorted(matching_rows, key=SORTS[sort], reverse=descending), offset, n)

    return await answer(request, work)


@router.get("/dataset/rows.csv", responses={200: {"content": {"text/csv": {}}}}, response_class=StreamingResponse)
def rows_csv(page: AppDep, run: RunId) -> StreamingResponse:
    """Return all images of the run as a CSV file."""
    mistakes_ = page.over.find(run).mistakes
    names = [name for name in STORED_COLUMNS if name != "logits"]

    def lines() -> Iterator[str]:
        for start in range(0, max(1, len(mistakes_.rows)), CHUNK):
            yield csv_text(names, mistakes_.rows[start : start + CHUNK], header=start == 0)

    headers = {"content-disposition": 'attachment; filename="predictions.csv"', "cache-control": "no-store"}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _overall(run: Run) -> Overall:
    mistakes_ = run.mistakes
    calibration = mistakes_.calibration if mistakes_.judged else None
    layer = mistakes_.plan["layer"]
    return Overall(
        run=run.id,
        rows=len(mistakes_.rows),
        judged=len(mistakes_.judged),
        wrong=len(mistakes_.errors()),
        accuracy=Range.of(mistakes_.accuracy),
        top5=Range.of(mistakes_.top5),
        calibration=None
        if calibration is None
        else Calibrated(
            ece=calibration.ece,
            adaptive=calibration.adaptive,
            gap=calibration.gap,
            chance=calibration.chance,
            off=calibration.off,
            temperature=None
            if calibration.temperature_scaling is None or calibration.temperature_scaling.unbounded
            else calibration.temperature_scaling.temperature,
            bins=[
                BinOf(low=b.low, high=b.high, count=b.count, confidence=known(b.confidence), accuracy=known(b.accuracy))
                for b in calibration.bins
            ],
        ),
        contrasts=[
            ContrastOf(
                name=c.name,
                meaning=MEANINGS[c.name],
                n=c.n,
                right=Range.of(c.right),
                wrong=Range.of(c.wrong),
                difference=Range.of(c.difference),
                p=known(c.corrected),
                differs=c.differs,
            )
            for c in mistakes_.contrasts
            if min(c.n)
        ],
        sentences=sentences(mistakes_, calibration),
        method=mistakes_.plan["method"],
        layer=None if layer is None else str(layer),
        failures=[Failed(name=name, reason=reason) for name, reason in mistakes_.failures[:FAILURES]],
        failed=len(mistakes_.failures),
    )


def _matrix(run: Run, part: Part, offset: int) -> MatrixOf:
    confused = run.confused

    def named(output: int) -> ClassOf:
        return ClassOf(output=output, name=confused.name(output))

    return MatrixOf(
        rows=[
            RowOf(output=o, name=confused.name(o), total=int(total), others=int(total - counts.sum()))
            for o, total, counts in zip(part.rows, part.totals, part.counts, strict=True)
        ],
        columns=[named(o) for o in part.columns],
        counts=part.counts.tolist(),
        classes=confused.count,
        matching=part.matching,
        offset=offset,
        pairs=[
            PairOf(truth=named(truth), said=named(said), count=count, total=total)
            for truth, said, count, total in confused.pairs(PAIRS)
        ],
    )


def _page(run: Run, rows: list[Row], offset: int, n: int) -> SaidList:
    return SaidList(items=[Said.of(run, row) for row in rows[offset : offset + n]], total=len(rows), offset=offset)


def _text(row: Row) -> str:
    return f"{row['picture']} {row['label']} {row['said']}".lower()


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key by which scene 9 comes before scene 10."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
