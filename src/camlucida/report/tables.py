"""The tables of an evaluation report: scores, comparisons, groups of images, agreement of metrics, costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.comparison import Agreement, Comparison
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.records import Summary
from camlucida.report.formatting import count_noun, format_interval, format_number, format_p_value
from camlucida.report.summary_text import TestResults

MAX_COLUMNS = 6
"""Maximum number of metrics in one table."""
MAX_CLASSES, MIN_CLASS_SIZE = 12, 3
"""Maximum number of classes in the table by class, and minimum number of images of a class."""
MAX_PAIRS = 150
"""Maximum number of rows of the comparison table."""


@dataclass(frozen=True)
class TableCell:
    """One value in a table."""

    value: str
    span: str = ""
    note: str = ""
    best: bool = False
    shade: float = 0.0


@dataclass(frozen=True)
class Table:
    """A table with column heads and row names; the flag of a row is true for controls."""

    caption: str
    heads: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, bool, Sequence[TableCell]]]
    corner: str = "method"


def score_tables(results: TestResults, measured: Sequence[str]) -> list[Table]:
    """Return the tables of scores, one or more per group of metrics: one row per method, one column per metric."""
    evaluation = results.evaluation
    groups: dict[str, list[str]] = {}
    for metric in measured:
        groups.setdefault(evaluation.presets[metric].metric.group, []).append(metric)
    tables = []
    for group, metrics in groups.items():
        for part in np.array_split(metrics, math.ceil(len(metrics) / MAX_COLUMNS)):
            names = [str(name) for name in part]
            best = {metric: results.best(metric) for metric in names}
            rows = [
                (
                    method,
                    method in evaluation.controls,
                    [_score_cell(results.table[m, method], method in best[m]) for m in names],
                )
                for method in evaluation.methods
            ]
            tables.append(Table(group, [_column_head(evaluation, m, results.untrusted) for m in names], rows))
    return tables


def _column_head(evaluation: Evaluation, metric: str, untrusted: Mapping[str, str]) -> tuple[str, str]:
    directions = {"high": "↑ higher is better", "low": "↓ lower is better", "neither": "descriptive"}
    direction = directions[evaluation.values[metric].better]
    return metric, f"{direction}; not reliable here" if metric in untrusted else direction


def _score_cell(summary: Summary, best: bool = False) -> TableCell:
    if not summary.n:
        return TableCell("–")
    note = f"{summary.invalid} of {summary.n} unscorable" if summary.invalid else ""
    return TableCell(format_number(summary.value), format_interval(summary.low, summary.high), note, best)


def comparison_rows(comparisons: Sequence[Comparison]) -> list[dict[str, str]]:
    """Return the comparisons of pairs of methods with the smallest corrected p-values."""
    finite = [c for c in comparisons if c.n and math.isfinite(c.p)]
    by_p_value = sorted(finite, key=lambda c: c.corrected)[:MAX_PAIRS]
    return [
        {
            "metric": c.metric,
            "pair": f"{c.first} − {c.second}",
            "difference": format_number(c.difference.value),
            "span": format_interval(c.difference.low, c.difference.high),
            "p": format_p_value(c.corrected),
            "test": c.test,
            "wins": f"{100 * c.wins:.0f} : {100 * c.losses:.0f}",
            "n": f"{c.n:,}",
            "winner": "equal maps" if c.same_map else c.winner or "–",
        }
        for c in by_p_value
    ]


def group_tables(evaluation: Evaluation, methods: Sequence[str], judging: Sequence[str]) -> list[Table]:
    """Return tables by correct and wrong predictions, and by class, for the first metrics with a direction."""
    correct = np.array([p.index for p in evaluation.images.values() if p.correct is True], dtype=np.int64)
    wrong = np.array([p.index for p in evaluation.images.values() if p.correct is False], dtype=np.int64)
    metrics = judging[: MAX_COLUMNS // 2]
    several = evaluation.has_several_targets
    words = ("matched", "not matched") if several else ("correct", "wrong")
    tables = []
    if len(correct) and len(wrong):
        heads = [
            (m, f"{correctness} ({len(indices)})")
            for m in metrics
            for correctness, indices in zip(words, (correct, wrong), strict=True)
        ]
        rows = [
            (
                method,
                False,
                [
                    _score_cell(evaluation.summary(m, method, indices=which))
                    for m in metrics
                    for which in (correct, wrong)
                ],
            )
            for method in methods
        ]
        caption = "targets that an annotation agrees with, and others" if several else "correct and wrong predictions"
        tables.append(Table(caption, heads, rows))
    sizes = Counter(p.label for p in evaluation.images.values() if p.label)
    classes = [name for name, count in sizes.most_common(MAX_CLASSES) if count >= MIN_CLASS_SIZE]
    if len(classes) > 1 and metrics:
        class_indices = {name: _indices_of_label(evaluation, name) for name in classes}
        heads = [(name, count_noun(sizes[name], "target" if several else "image")) for name in classes]
        rows = [
            (
                method,
                False,
                [
                    _score_cell(evaluation.summary(metrics[0], method, indices=which))
                    for which in class_indices.values()
                ],
            )
            for method in methods
        ]
        tables.append(Table(f"{metrics[0]} by class", heads, rows))
    return tables


def _indices_of_label(evaluation: Evaluation, label: str) -> NDArray[np.int64]:
    return np.array([p.index for p in evaluation.images.values() if p.label == label], dtype=np.int64)


def agreement_table(agreement: Agreement | None) -> Table | None:
    """Return the table of rank correlations (Kendall's tau-b) between metrics, or None without an agreement."""
    if agreement is None:
        return None
    rows = []
    for a, name in enumerate(agreement.metrics):
        cells = []
        for b in range(len(agreement.metrics)):
            tau = float(agreement.tau[a, b])
            if a == b:
                cells.append(TableCell("·"))
                continue
            per_image = float(agreement.per_image[a, b])
            note = f"per image: {per_image:.2f}".replace("-", "−") if math.isfinite(per_image) else ""
            interval = format_interval(float(agreement.low[a, b]), float(agreement.high[a, b]))
            cells.append(
                TableCell(f"{tau:.2f}".replace("-", "−") if math.isfinite(tau) else "–", interval, note, False, tau)
            )
        rows.append((name, False, cells))
    heads = [(name, "") for name in agreement.metrics]
    return Table(f"Kendall's τ-b over {len(agreement.methods)} methods", heads, rows, "metric")


def cost_tables(evaluation: Evaluation) -> list[Table]:
    """Return the tables of forward passes and seconds, per method and per metric."""
    costs, owner = evaluation.costs(), "target" if evaluation.has_several_targets else "image"
    methods = Table(
        f"per {owner} and method",
        [("map", "forward passes"), ("map", "seconds"), ("all metrics", "forward passes"), ("all metrics", "seconds")],
        [
            (m, m in evaluation.controls, _cost_cells(costs, m))
            for m in evaluation.methods
            if (m, "explaining") in costs
        ],
    )
    names = list(evaluation.plan["metrics"])
    rows = []
    for name in names:
        metric_costs = [cost for (_, metric), cost in costs.items() if metric == name]
        if metric_costs:
            rows.append(
                (
                    name,
                    False,
                    [TableCell(format_number(float(np.mean(part)))) for part in zip(*metric_costs, strict=True)],
                )
            )
    metrics = Table(
        f"per {owner} and metric, mean over methods", [("", "forward passes"), ("", "seconds")], rows, "metric"
    )
    return [methods, metrics]


def _cost_cells(costs: Mapping[tuple[str, str], tuple[float, float]], method: str) -> list[TableCell]:
    map_cost = costs[method, "explaining"]
    metric_costs = [cost for (name, metric), cost in costs.items() if name == method and metric != "explaining"]
    sums = [sum(part) for part in zip(*metric_costs, strict=True)] or [0.0, 0.0]
    return [TableCell(format_number(value)) for value in (*map_cost, *sums)]
