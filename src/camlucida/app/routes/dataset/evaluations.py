"""The results of an evaluation: methods by metrics with intervals, the paired tests, and curves."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from camlucida.app.analysis_run import Run
from camlucida.app.evaluation_view import EvaluationView
from camlucida.app.job_responses import answer
from camlucida.app.jobs import Job
from camlucida.app.routes.dataset.common import Failed, RunId
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.schemas import Schema, known
from camlucida.errors import MetricError
from camlucida.report.charts import MAX_POINTS

router = APIRouter(tags=["dataset"])
MAX_FAILURES = 50


class MethodOut(Schema):
    """A method or a control. A control is uninformative, or `knows` the ground truth: metrics must rank them apart."""

    name: str
    control: bool
    knows: str = ""


class MetricOut(Schema):
    """A measured metric.

    Attributes:
        better: high, low, or neither for a descriptive metric.
        distrust: Why the metric is untrusted here: it does not rank the controls; empty if it is trusted.
        best: The methods that the paired tests find better than all others.
        curves: Whether curves are available.
    """

    name: str
    group: str
    summary: str
    better: Literal["high", "low", "neither"]
    distrust: str
    best: list[str]
    curves: bool


class ScoreOut(Schema):
    """The score of a method by a metric with its 95 % interval, over `n` images.

    `invalid` of them could not be scored and count as worst.
    """

    method: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    invalid: int


class EvaluationOut(Schema):
    """The table of a run, with one score per method and metric; methods first, controls last."""

    run: str
    n_images: int
    explained: str
    methods: list[MethodOut]
    metrics: list[MetricOut]
    scores: list[ScoreOut]
    sentences: list[str]
    failures: list[Failed]
    failed: int


class Curve(Schema):
    """The mean of a method's curves at equidistant steps from 0 to 1, with its 95 % band."""

    method: str
    mean: list[float]
    low: list[float]
    high: list[float]


class Curves(Schema):
    """The curves of the first eight methods; empty if the metric keeps none."""

    metric: str
    x_label: str
    y_label: str
    lines: list[Curve]


@router.get("/dataset/evaluation", responses={200: {"model": EvaluationOut}})
async def evaluation(request: Request, page: AppDep, run: RunId) -> Response:
    """Return the table and the results of the paired tests. Computed once, which may take a minute for a large run."""
    return await answer(request, lambda job: _evaluation(page.analysis_runs.find(run)), "long")


@router.get("/dataset/curves", responses={200: {"model": Curves}})
async def curves(
    request: Request, page: AppDep, run: RunId, metric: Annotated[str, Query(min_length=1, max_length=200)]
) -> Response:
    """Return the mean curves of a metric that keeps them."""

    def work(job: Job) -> Curves:
        view = page.analysis_runs.find(run).evaluation_view
        if metric not in view.metrics:
            raise MetricError(f"this run has no metric {metric[:80]!r}. It has {', '.join(view.metrics)}.")
        axes, lines = view.curves(metric)
        x_label, y_label = axes or ("", "")
        metric_curves = []
        for line in lines:
            steps = np.unique(np.linspace(0, len(line.mean) - 1, min(MAX_POINTS, len(line.mean))).round().astype(int))
            values = [[float(f"{v:.5g}") for v in part[steps]] for part in (line.mean, line.low, line.high)]
            metric_curves.append(Curve(method=line.name, mean=values[0], low=values[1], high=values[2]))
        return Curves(metric=metric, x_label=x_label, y_label=y_label, lines=metric_curves)

    return await answer(request, work)


def _evaluation(run: Run) -> EvaluationOut:
    view = run.evaluation_view
    evaluation = view.evaluation
    target = evaluation.plan["target"]
    knows = {entry["name"]: entry.get("knows", "") for entry in evaluation.plan["methods"]}
    return EvaluationOut(
        run=run.id,
        n_images=evaluation.plan["n_images"],
        explained={"predicted": "the predicted class", "true": "the true class"}.get(target, f"target: {target}"),
        methods=[
            MethodOut(name=name, control=name in evaluation.controls, knows=knows[name]) for name in evaluation.methods
        ],
        metrics=[_metric(view, name) for name in view.metrics],
        scores=[
            ScoreOut(
                method=s.method,
                metric=s.metric,
                value=known(s.value),
                low=known(s.low),
                high=known(s.high),
                n=s.n,
                invalid=s.invalid,
            )
            for (metric, _), s in view.table.items()
            if metric in view.metrics
        ],
        sentences=view.sentences,
        failures=[
            Failed(name=f"{image} · {method}" if method else image, reason=reason)
            for image, method, reason in evaluation.failures[:MAX_FAILURES]
        ],
        failed=len(evaluation.failures),
    )


def _metric(view: EvaluationView, name: str) -> MetricOut:
    evaluation, metric = view.evaluation, view.evaluation.presets[name].metric
    return MetricOut(
        name=name,
        group=metric.group,
        summary=metric.summary,
        better=evaluation.values[name].better,
        distrust=view.verdicts.untrusted.get(name, ""),
        best=view.verdicts.best(name),
        curves=evaluation.values[name].axes is not None,
    )
