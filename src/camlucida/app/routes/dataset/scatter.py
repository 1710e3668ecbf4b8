"""GET /api/dataset/points, /neighbours, /thumbnails: images as points, the neighbours of one, and their thumbnails."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from camlucida.analysis.projection import ProjectionMethod
from camlucida.app.analysis_run import Run
from camlucida.app.failures import NotFound
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dataset.common import Failed, RunId
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.scatter import MAX_POINTS
from camlucida.app.schemas import Schema
from camlucida.app.thumbnail_store import load_sheet, sheet_key, store_sheet
from camlucida.app.thumbnails import thumbnail_sheet
from camlucida.render.palettes import CATEGORICAL_COLOURS

router = APIRouter(tags=["dataset"])
MAX_FAILURES = 50


class ClassAgreementOut(Schema):
    """Of `count` points of a class, `agreeing` have a nearest neighbour of the same class."""

    name: str
    count: int
    agreeing: int


class Points(Schema):
    """All points, one list per column. Positions are in units of the projection; y points up.

    Attributes:
        projections: The available projections.
        description: A description of this projection.
        feature_source: Where in the network the features were taken.
        count: The number of images with features; if there are more than points, the points are a random sample.
        indices: Sample indices: s<index> is the id, if the app has the images of the run (`has_images`).
        label_index: Indices of the labels in `classes`; -1 for no label.
        predicted_index: Indices of the predicted classes in `classes`.
        correct: 1 for correct, 0 for wrong, -1 if there is no label.
        agreement: The fraction of labelled points whose nearest neighbour, by features, has their label; points that
            are the only one of their class are not counted.
        colours: Categorical colours (rrggbb), in the order of use.
    """

    run: str
    projection: ProjectionMethod
    projections: list[ProjectionMethod]
    description: str
    feature_source: str
    count: int
    has_images: bool
    x: list[float]
    y: list[float]
    names: list[str]
    indices: list[int]
    label_index: list[int]
    predicted_index: list[int]
    confidence: list[float]
    correct: list[int]
    classes: list[str]
    agreement: float | None
    class_agreement: list[ClassAgreementOut]
    colours: list[str]
    failures: list[Failed]
    failed: int


class Neighbour(Schema):
    """A point, and the cosine similarity of its features."""

    point: int
    cosine: float


class Neighbours(Schema):
    """The nearest neighbours, most similar first."""

    point: int
    nearest: list[Neighbour]


@router.get("/dataset/points", responses={200: {"model": Points}})
async def points(request: Request, page: AppDep, run: RunId, projection: ProjectionMethod | None = None) -> Response:
    """Return at most 5,000 points, in the projection of the run, or by another `projection` that is computed once.

    The computation may take a minute.
    """

    def work(job: Job) -> Points:
        return _points(page.analysis_runs.find(run), projection)

    return await answer(request, work, "long" if projection else "quick")


@router.get("/dataset/neighbours", responses={200: {"model": Neighbours}})
async def neighbours(
    request: Request,
    page: AppDep,
    run: RunId,
    point: Annotated[int, Query(ge=0, lt=MAX_POINTS)],
    n: Annotated[int, Query(ge=1, le=24)] = 6,
) -> Response:
    """Return the points with the most similar features (cosine), which need not be the closest ones on the plane."""

    def work(job: Job) -> Neighbours:
        nearest = page.analysis_runs.find(run).scatter.nearest(point, n)
        return Neighbours(point=point, nearest=[Neighbour(point=i, cosine=cosine) for i, cosine in nearest])

    return await answer(request, work)


@router.get("/dataset/thumbnails", responses={200: {"content": {"image/webp": {}}}}, response_class=Response)
async def thumbnails(request: Request, page: AppDep, run: RunId) -> Response:
    """Return the thumbnails of all points in one image: see `camlucida.app.thumbnails`.

    Reading the images takes a while at first; the result is kept on disk, in the user's cache folder.
    """

    def work(job: Job) -> bytes:
        analysis_run = page.analysis_runs.find(run)
        if not analysis_run.has_images:
            raise NotFound(f"The app does not have the images of {analysis_run.name}.")
        indices = tuple(row["index"] for row in analysis_run.scatter.rows)
        key = sheet_key(analysis_run.plan["data_hash"], indices)
        sheet = page.caches.thumbnails.get(key) or load_sheet(key)
        if sheet is None:
            sheet = thumbnail_sheet(page.data, indices, job.progress)
            store_sheet(key, sheet)
        page.caches.thumbnails.put(key, sheet)
        return sheet

    return await answer(request, work, "long", "image/webp")


def _points(run: Run, name: ProjectionMethod | None) -> Points:
    scatter = run.scatter
    chosen: ProjectionMethod = name or scatter.default_projection
    projection = scatter.projection(chosen)
    rows = scatter.rows
    classes = sorted({row["label"] for row in rows if row["label"] is not None} | {row["predicted"] for row in rows})
    at = {name: i for i, name in enumerate(classes)}
    return Points(
        run=run.id,
        projection=chosen,
        projections=scatter.projections,
        description=projection.description,
        feature_source=scatter.feature_source,
        count=scatter.count,
        has_images=run.has_images,
        x=[float(f"{x:.5g}") for x in projection.positions[:, 0]],
        y=[float(f"{y:.5g}") for y in projection.positions[:, 1]],
        names=[row["image"] for row in rows],
        indices=[row["index"] for row in rows],
        label_index=[-1 if row["label"] is None else at[row["label"]] for row in rows],
        predicted_index=[at[row["predicted"]] for row in rows],
        confidence=[round(row["confidence"], 4) for row in rows],
        correct=[-1 if row["correct"] is None else int(row["correct"]) for row in rows],
        classes=classes,
        agreement=scatter.agreement,
        class_agreement=[ClassAgreementOut(name=c.name, count=c.count, agreeing=c.agreeing) for c in scatter.classes],
        colours=list(CATEGORICAL_COLOURS),
        failures=[Failed(name=name, reason=reason) for name, reason in scatter.failures[:MAX_FAILURES]],
        failed=len(scatter.failures),
    )
