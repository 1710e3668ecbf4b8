"""Forest plots of an evaluation: one per metric, with the strongest uninformative baseline as a band."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from camlucida.evaluation.records import Summary
from camlucida.report.forest_plot import ForestPlot, ForestRow, forest_plot
from camlucida.report.summary_text import TestResults

N_DISPLAYED = 6
"""Number of metrics that are displayed; the others are folded."""
DIRECTIONS = {"high": "Higher is better", "low": "Lower is better", "neither": "Descriptive"}


@dataclass(frozen=True)
class MetricPlots:
    """The plots of metrics with the same direction.

    Attributes:
        direction: The direction, as text.
        displayed: The plots that are displayed.
        folded: The others.
    """

    direction: str
    displayed: Sequence[ForestPlot]
    folded: Sequence[ForestPlot]


def metric_plots(results: TestResults, measured: Sequence[str], strongest: Mapping[str, str]) -> list[MetricPlots]:
    """Return the plots of all metrics, by direction.

    Args:
        results: The results of the paired tests.
        measured: Names of the metrics.
        strongest: Name of the strongest uninformative baseline by metric; "" if there is none.
    """
    displayed = set(chosen_metrics(results, measured))
    groups = []
    for better, direction in DIRECTIONS.items():
        names = [name for name in measured if results.evaluation.values[name].better == better]
        plots = {name: _plot(results, name, strongest.get(name, "")) for name in names}
        shown = [plots[name] for name in names if name in displayed]
        folded = [plots[name] for name in names if name not in displayed]
        if plots:
            groups.append(MetricPlots(direction, shown, folded))
    return groups


def chosen_metrics(results: TestResults, measured: Sequence[str]) -> list[str]:
    """Return the metrics that are displayed: those with a direction, the groups of metrics in turn.

    Of a metric with several numbers, such as energy and energy_lift, the first one comes before those of others.
    """
    presets = results.evaluation.presets
    judged = [m for m in measured if results.evaluation.values[m].better != "neither" and m not in results.untrusted]
    first = {presets[name].metric.name: name for name in reversed(judged)}
    groups: dict[str, list[str]] = {}
    for name in sorted(judged, key=lambda name: first[presets[name].metric.name] != name):
        groups.setdefault(presets[name].metric.group, []).append(name)
    in_turn = [
        names[turn] for turn in range(max(map(len, groups.values()), default=0)) for names in groups.values()
        if turn < len(names)
    ]  # fmt: skip
    return in_turn[:N_DISPLAYED]


def _plot(results: TestResults, metric: str, control: str) -> ForestPlot:
    best = results.best(metric)
    rows = [_row(results.table[metric, method], method in best) for method in results.methods]
    baseline = results.table[metric, control] if control else None
    note = " ⚠ not reliable here" if metric in results.untrusted else ""
    return forest_plot(
        f"{metric}{note}",
        rows,
        band=_band(baseline) if baseline else None,
        band_name=f"{control}, the strongest uninformative baseline" if control else "",
    )


def _row(summary: Summary, is_best: bool) -> ForestRow:
    return ForestRow(
        summary.method,
        summary.value if summary.n else math.nan,
        summary.low,
        summary.high,
        note="★ best (significant)" if is_best else "",
        highlighted=is_best,
    )


def _band(summary: Summary) -> tuple[float, float]:
    if math.isfinite(summary.low) and math.isfinite(summary.high):
        return summary.low, summary.high
    return summary.value, summary.value
