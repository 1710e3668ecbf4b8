"""The results of an evaluation: methods by metrics with intervals, the paired tests, and curves."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from camlucida.app.analysis_runs import Run
from camlucida.app.evaluation_view import Evaluated
from camlucida.app.jobs import Job, answer
from camlucida.app.routes.dataset.common import Failed, RunId
from camlucida.app.routes.dependencies import AppDep
from camlucida.app.schemas import Schema, known
from camlucida.errors import MetricError
from camlucida.report.charts import MAX_POINTS

router = APIRouter(tags=["dataset"])
FAILURES = 50


class MethodOf(Schema):
    """A method or a control. A control is uninformative, or `knows` the ground truth: metrics must rank them apart."""

    name: str
    control: bool
    knows: str = ""


class MetricOf(Schema):
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


class NumberOf(Schema):
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


class EvaluationOf(Schema):
    """The table of a run, with one score per method and metric; methods first, controls last."""

    run: str
    pictures: int
    explained: str
    methods: list[MethodOf]
    metrics: list[MetricOf]
    numbers: list[NumberOf]
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
    across: str
    up: str
    lines: list[Curve]


@router.get("/dataset/evaluation", responses={200: {"model": EvaluationOf}})
async def evaluation(request: Request, page: AppDep, run: RunId) -> Response:
    """Return the table and the results of the paired tests. Computed once, which may take a minute for a large run."""
    return await answer(request, lambda job: _evaluation(page.over.find(run)), "long")


@router.get("/dataset/curves", responses={200: {"model": Curves}})
async def curves(
    request: Request, page: AppDep, run: RunId, metric: Annotated[str, Query(min_length=1, max_length=200)]
) -> Response:
    """Return the mean curves of a metric that keeps them."""

    def work(job: Job) -> Curves:
        evaluation_view = page.over.find(run).evaluated
        if metric not in evaluation_view.metrics:
            raise MetricError(f"no metric {metric[:80]!r} in this run. It has {', '.join(evaluation_view.metrics)}.")
        axes, lines = evaluation_view.curves(metric)
        across, up = axes or ("", "")
        metric_curves = []
        for line in lines:
            steps = np.unique(np.linspace(0, len(line.mean) - 1, min(MAX_POINTS, len(line.mean))).round().astype(int))
            rows = [[float(f"{v:.5g}") for v in part[steps]] for part in (line.mean, line.low, line.high)]
            metric_curves.append(Curve(method=line.name, mean=rows[0], low=rows[1], high=rows[2]))
        return Curves(metric=metric, across=across, up=up, lines=metric_curves)

    return await answer(request, work)


def _evaluation(run: Run) -> EvaluationOf:
    evaluated = run.evaluated
    evaluation = evaluated.found
    knows = {entry["name"]: entry.get("knows", "") for entry in evaluation.plan["methods"]}
    return EvaluationOf(
        run=run.id,
        pictures=evaluation.plan["pictures"],
        explained={"predicted": "the predicted class", "label": "the true class"}[evaluation.plan["target"]],
        methods=[
            MethodOf(name=name, control=name in evaluation.controls, knows=knows[name]) for name in evaluation.methods
        ],
        metrics=[_metric(evaluated, name) for name in evaluated.metrics],
        numbers=[
            NumberOf(
                method=one.method,
                metric=one.metric,
                value=known(one.value),
                low=known(one.low),
                high=known(one.high),
                n=one.n,
                invalid=one.invalid,
            )
            for (metric, _), one in evaluated.table.items()
            if metric in evaluated.metrics
        ],
        sentences=evaluated.sentences,
        failures=[
            Failed(name=f"{image} · {method}" if method else image, reason=reason)
            for image, method, reason in evaluation.failures[:FAILURES]
        ],
        failed=len(evaluation.failures),
    )


def _metric(evaluated: Evaluated, name: str) -> MetricOf:
    found, metric = evaluated.found, evaluated.found.presets[name].metric
    return MetricOf(
        name=name,
        group=metric.group,
        summary=metric.summary,
        better=found.values[name].better,
        distrust=evaluated.verdicts.untrusted.get(name, ""),
        best=evaluated.verdicts.best(name),
        curves=found.values[name].axes is not None,
    )
