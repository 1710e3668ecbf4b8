"""The errors of a model: accuracy and calibration, the list of errors, and all rows as CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from camlucida._escaping import csv_text
from camlucida.analysis import Mistakes
from camlucida.analysis.mistakes_result import STORED_COLUMNS
from camlucida.app.app_state import Page
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dataset.common import MAX_ROWS, Failed, Find, Offset, RowPredictionList, RunId, SubsetId
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.schemas import Range, Schema, known
from camlucida.evaluation.store import Row
from camlucida.report.mistakes_page import MEANINGS, sentences

router = APIRouter(tags=["dataset"])
MAX_FAILURES = 50
CSV_CHUNK_ROWS = 500


class BinOut(Schema):
    """A bin of the reliability diagram: predictions with similar confidence.

    `confidence` and `accuracy` are null if the bin is empty.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


class CalibrationOut(Schema):
    """The calibration of a model: see `camlucida.analysis.calibration`."""

    ece: float
    adaptive: float
    gap: float
    chance: tuple[float, float]
    off: bool
    temperature: float | None
    bins: list[BinOut]


class GroupDifferenceOut(Schema):
    """A statistic of the maps of correct and of wrong predictions; `n` holds the number of images of each."""

    name: str
    meaning: str
    n: tuple[int, int]
    correct: Range
    wrong: Range
    difference: Range
    p: float | None
    differs: bool


class Overall(Schema):
    """Results over all images of a run, or of a subset.

    Attributes:
        judged: The number of images with a label that the model has.
        wrong: How many of those are predicted wrongly.
    """

    run: str
    rows: int
    judged: int
    wrong: int
    accuracy: Range
    top5: Range | None
    calibration: CalibrationOut | None
    differences: list[GroupDifferenceOut]
    sentences: list[str]
    method: str
    layer: str | None
    failures: list[Failed]
    failed: int


@router.get("/dataset/overall", responses={200: {"model": Overall}})
async def overall(request: Request, page: AppDep, run: RunId, subset: SubsetId = "") -> Response:
    """Return accuracy, calibration, and the maps of correct and wrong predictions in comparison.

    They are those of all images of the run, or of a subset.
    """

    def work(job: Job) -> Overall:
        return _overall(page.analysis_runs.find(run).id, _mistakes(page, run, subset))

    return await answer(request, work)


Sort = Literal["confidence", "name", "label", "predicted", "rank"]
SORTS: dict[Sort, Callable[[Row], Any]] = {
    "confidence": lambda row: row["confidence"],
    "name": lambda row: _natural(row["image"]),
    "label": lambda row: row["label"] or "",
    "predicted": lambda row: row["predicted"],
    "rank": lambda row: row["rank"] or 0,
}


@router.get("/dataset/errors", responses={200: {"model": RowPredictionList}})
async def errors(
    request: Request,
    page: AppDep,
    run: RunId,
    sort: Sort = "confidence",
    descending: bool = True,
    find: Find = "",
    offset: Offset = 0,
    n: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 20,
    subset: SubsetId = "",
    correct: bool = False,
) -> Response:
    """Return the wrong predictions, by default the most confident first, of all images or of a subset.

    `find`: words in the name of the image, or in either class. `correct`: return the other images of the subset, too.
    """

    def work(job: Job) -> RowPredictionList:
        analysis_run = page.analysis_runs.find(run)
        words = find.lower().split()
        chosen = _mistakes(page, run, subset)
        rows = chosen.rows if subset and correct else chosen.errors()
        matching_rows = [row for row in rows if all(word in _text(row) for word in words)]
        ordered = sorted(matching_rows, key=SORTS[sort], reverse=descending)
        return RowPredictionList.page(analysis_run, ordered, offset, n)

    return await answer(request, work)


@router.get("/dataset/rows.csv", responses={200: {"content": {"text/csv": {}}}}, response_class=StreamingResponse)
def rows_csv(page: AppDep, run: RunId) -> StreamingResponse:
    """Return all images of the run as a CSV file."""
    mistakes_ = page.analysis_runs.find(run).mistakes
    names = [name for name in STORED_COLUMNS if name != "logits"]

    def lines() -> Iterator[str]:
        for start in range(0, max(1, len(mistakes_.rows)), CSV_CHUNK_ROWS):
            yield csv_text(names, mistakes_.rows[start : start + CSV_CHUNK_ROWS], header=start == 0)

    headers = {"content-disposition": 'attachment; filename="predictions.csv"', "cache-control": "no-store"}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _mistakes(page: Page, run: str, subset: str) -> Mistakes:
    """Return the error analysis of a run, or that of a subset of its images."""
    analysis_run = page.analysis_runs.find(run)
    return page.subsets.find(subset, analysis_run).mistakes if subset else analysis_run.mistakes


def _overall(run: str, mistakes_: Mistakes) -> Overall:
    calibration = mistakes_.calibration if mistakes_.judged else None
    layer = mistakes_.plan["layer"]
    return Overall(
        run=run,
        rows=len(mistakes_.rows),
        judged=len(mistakes_.judged),
        wrong=len(mistakes_.errors()),
        accuracy=Range.of(mistakes_.accuracy),
        top5=None if mistakes_.top5 is None else Range.of(mistakes_.top5),
        calibration=None
        if calibration is None
        else CalibrationOut(
            ece=calibration.ece,
            adaptive=calibration.adaptive,
            gap=calibration.gap,
            chance=calibration.chance,
            off=calibration.off,
            temperature=None
            if calibration.temperature_scaling is None or calibration.temperature_scaling.unbounded
            else calibration.temperature_scaling.temperature,
            bins=[
                BinOut(
                    low=b.low, high=b.high, count=b.count, confidence=known(b.confidence), accuracy=known(b.accuracy)
                )
                for b in calibration.bins
            ],
        ),
        differences=[
            GroupDifferenceOut(
                name=c.name,
                meaning=MEANINGS[c.name],
                n=c.n,
                correct=Range.of(c.right),
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
        failures=[Failed(name=name, reason=reason) for name, reason in mistakes_.failures[:MAX_FAILURES]],
        failed=len(mistakes_.failures),
    )


def _text(row: Row) -> str:
    return f"{row['image']} {row['label']} {row['predicted']}".lower()


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key by which scene 9 comes before scene 10."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
