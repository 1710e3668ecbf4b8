"""The tables of an evaluation's page: numbers, comparisons, groups of images, agreement of metrics, costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.comparing import Agreement, Comparison
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.records import Summary
from camlucida.report.numbers import counted, number, p_value, span
from camlucida.report.words import Verdicts

COLUMNS = 6
"""Metrics side by side in one table."""
CLASSES, CLASS_SIZE = 12, 3
"""Classes in the table by class at most, and pictures of a class at least."""
PAIRS = 150
"""Rows of the table of comparisons at most."""


@dataclass(frozen=True)
class Cell:
    """One number in a table."""

    value: str
    span: str = ""
    note: str = ""
    best: bool = False
    shade: float = 0.0


@dataclass(frozen=True)
class Grid:
    """A table: heads over columns, names before rows; `controls` says which rows are controls."""

    caption: str
    heads: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, bool, Sequence[Cell]]]
    corner: str = "method"


def number_tables(verdicts: Verdicts, measured: Sequence[str]) -> list[Grid]:
    found = verdicts.found
    groups: dict[str, list[str]] = {}
    for metric in measured:
        groups.setdefault(found.presets[metric].metric.group, []).append(metric)
    made = []
    for group, metrics in groups.items():
        for part in np.array_split(metrics, math.ceil(len(metrics) / COLUMNS)):
            some = [str(name) for name in part]
            best = {metric: verdicts.best(metric) for metric in some}
            rows = [
                (method, method in found.controls, [_cell(verdicts.table[m, method], method in best[m]) for m in some])
                for method in found.methods
            ]
            made.append(Grid(group, [_head(found, m, verdicts.untrusted) for m in some], rows))
    return made


def _head(found: Evaluation, metric: str, untrusted: Mapping[str, str]) -> tuple[str, str]:
    way = {"high": "↑ high is good", "low": "↓ low is good", "neither": "describes"}[found.values[metric].better]
    return metric, f"{way}; not trusted here" if metric in untrusted else way


def _cell(summary: Summary, best: bool = False) -> Cell:
    if not summary.n:
        return Cell("–")
    note = f"{summary.invalid} of {summary.n} not judged" if summary.invalid else ""
    return Cell(number(summary.value), span(summary.low, summary.high), note, best)


def comparison_rows(comparisons: Sequence[Comparison]) -> list[dict[str, str]]:
    known = [c for c in comparisons if c.n and math.isfinite(c.p)]
    order = sorted(known, key=lambda c: c.corrected)[:PAIRS]
    return [
        {
            "metric": c.metric,
            "pair": f"{c.first} − {c.second}",
            "difference": number(c.difference.value),
            "span": span(c.difference.low, c.difference.high),
            "p": p_value(c.corrected),
            "test": c.test,
            "wins": f"{100 * c.wins:.0f} : {100 * c.losses:.0f}",
            "n": f"{c.n:,}",
            "winner": "the same map" if c.same else c.winner or "–",
        }
        for c in order
    ]


def group_tables(found: Evaluation, methods: Sequence[str], judging: Sequence[str]) -> list[Grid]:
    """By right and wrong answers, and by class: the first metrics that judge."""
    right = np.array([p.index for p in found.pictures.values() if p.correct is True], dtype=np.int64)
    wrong = np.array([p.index for p in found.pictures.values() if p.correct is False], dtype=np.int64)
    some = judging[: COLUMNS // 2]
    made = []
    if len(right) and len(wrong):
        heads = [(m, f"{what} ({len(which)})") for m in some for what, which in (("right", right), ("wrong", wrong))]
        rows = [
            (method, False, [_cell(found.summary(m, method, only=which)) for m in some for which in (right, wrong)])
            for method in methods
        ]
        made.append(Grid("right and wrong answers of the model", heads, rows))
    sizes = Counter(p.label for p in found.pictures.values() if p.label)
    classes = [name for name, count in sizes.most_common(CLASSES) if count >= CLASS_SIZE]
    if len(classes) > 1 and some:
        of_class = {name: _indices(found, name) for name in classes}
        heads = [(name, counted(sizes[name], "picture")) for name in classes]
        rows = [
            (method, False, [_cell(found.summary(some[0], method, only=which)) for which in of_class.values()])
            for method in methods
        ]
        made.append(Grid(f"{some[0]} by class", heads, rows))
    return made


def _indices(found: Evaluation, label: str) -> NDArray[np.int64]:
    return np.array([p.index for p in found.pictures.values() if p.label == label], dtype=np.int64)


def agreement_table(agreement: Agreement | None) -> Grid | None:
    if agreement is None:
        return None
    rows = []
    for a, name in enumerate(agreement.metrics):
        cells = []
        for b in range(len(agreement.metrics)):
            tau = float(agreement.tau[a, b])
            if a == b:
                cells.append(Cell("·"))
                continue
            within = float(agreement.per_picture[a, b])
            note = f"a picture: {within:.2f}".replace("-", "−") if math.isfinite(within) else ""
            around = span(float(agreement.low[a, b]), float(agreement.high[a, b]))
            cells.append(Cell(f"{tau:.2f}".replace("-", "−") if math.isfinite(tau) else "–", around, note, False, tau))
        rows.append((name, False, cells))
    heads = [(name, "") for name in agreement.metrics]
    return Grid(f"Kendall's τ-b over {len(agreement.methods)} methods", heads, rows, "metric")


def cost_tables(found: Evaluation) -> list[Grid]:
    costs = found.costs()
    methods = Grid(
        "a picture and method",
        [("map", "forwards"), ("map", "seconds"), ("all metrics", "forwards"), ("all metrics", "seconds")],
        [(m, m in found.controls, _spent(costs, m)) for m in found.methods if (m, "explaining") in costs],
    )
    names = list(found.plan["metrics"])
    rows = []
    for name in names:
        spent = [cost for (_, metric), cost in costs.items() if metric == name]
        if spent:
            rows.append((name, False, [Cell(number(float(np.mean(part)))) for part in zip(*spent, strict=True)]))
    metrics = Grid("a picture and metric, on average over methods", [("", "forwards"), ("", "seconds")], rows, "metric")
    return [methods, metrics]


def _spent(costs: Mapping[tuple[str, str], tuple[float, float]], method: str) -> list[Cell]:
    made = costs[method, "explaining"]
    judged = [cost for (name, metric), cost in costs.items() if name == method and metric != "explaining"]
    sums = [sum(part) for part in zip(*judged, strict=True)] or [0.0, 0.0]
    return [Cell(number(value)) for value in (*made, *sums)]
