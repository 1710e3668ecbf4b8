"""The page of an evaluation: what is on it, in which order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.data.datasets import DataSet
from camlucida.evaluation.comparing import Agreement, Comparison, corrected
from camlucida.evaluation.result import Evaluation, Summary
from camlucida.extras import need
from camlucida.models.model import Model
from camlucida.report.charts import SERIES, chart, line, swatch
from camlucida.report.numbers import counted, listed, number, p_value, span
from camlucida.report.rendering import write_page
from camlucida.report.thumbnails import Studio, chosen, extremes
from camlucida.report.words import Verdicts, sentences

COLUMNS = 6
"""Metrics side by side in one table."""
CLASSES, CLASS_SIZE = 12, 3
"""Classes in the table by class at most, and pictures of a class at least."""
DRAWN_METHODS = 8
EXTREMES = 3
SIDE_BY_SIDE = 3
"""Pictures that the model gets right, and as many that it gets wrong."""
PAIRS = 150
"""Rows of the table of comparisons at most."""
REASONS = 20


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


@dataclass(frozen=True)
class Shot:
    """A thumbnail with what is said of it."""

    uri: str
    alt: str
    lines: Sequence[str]


def report(
    found: Evaluation,
    path: str | Path,
    *,
    model: Model | None = None,
    data: DataSet | None = None,
    untrusted: Mapping[str, str] | None = None,
) -> Path:
    """Write an evaluation as one HTML page that needs nothing else: no other file, no other host, no script.

    found      from `evaluate`, or `Evaluation(folder)` of a finished run
    path       of the page
    model      with `data`, what was evaluated: some of the pictures are explained again and shown. None for a page
    data       without pictures
    untrusted  metrics that cannot order the controls -> why: they are marked, and no method is called best by them
    Raises `MissingExtra` where jinja2 is not installed.
    """
    need("jinja2", extra="analysis", what="writing a report")  # before pictures are explained again
    studio = Studio(found, model, data) if model is not None and data is not None else None
    content = view(found, studio, dict(untrusted or {}))
    return write_page(Path(path).expanduser(), "page.html", content)


def view(found: Evaluation, studio: Studio | None, untrusted: Mapping[str, str]) -> dict[str, Any]:
    """Everything that the template puts on the page."""
    table = {(s.metric, s.method): s for s in found.table()}
    measured = [m for m in found.values if any(table[m, method].n for method in found.methods)]
    methods = [m for m in found.methods if m not in found.controls]
    judging = [m for m in measured if found.values[m].better != "neither"]
    comparisons = found.comparisons(judging)
    strongest = {m: strongest_control(found, table, m) for m in judging}
    against = corrected([found.compare(m, a, b) for m, b in strongest.items() if b for a in methods])
    verdicts = Verdicts(found, table, comparisons, against, untrusted)
    agreement = found.agreement(judging) if len(judging) > 1 and len(methods) > 2 else None
    main = next((m for m in judging if m not in untrusted), None)
    pictures = _pictures(found, studio, main, methods)
    return {
        "title": f"{listed(methods, 3)} on {found.plan['data']}",
        "facts": _facts(found, studio),
        "sentences": sentences(verdicts, agreement),
        "tables": _tables(verdicts, measured),
        "untrusted": {m: why for m, why in untrusted.items() if m in measured},
        "comparisons": _comparisons(comparisons),
        "family": len(comparisons),
        "charts": _charts(found, methods, measured),
        "groups": _groups(found, methods, judging),
        "agreement": _agreement(agreement),
        "likenesses": found.likenesses,
        "pictures": pictures,
        "failures": _failures(found),
        "costs": _costs(found),
        "meanings": _meanings(found, measured),
        "controls": sorted(found.controls),
        "number": number,
    }


def strongest_control(found: Evaluation, table: Mapping[tuple[str, str], Summary], metric: str) -> str:
    """Of the controls that do not know the object, the one with the best number; "" where there is none."""
    known = [s for s in (table[metric, c] for c in found.blind) if s.n and math.isfinite(s.value)]
    way = 1 if found.values[metric].better == "high" else -1
    return max(known, key=lambda s: way * s.value).method if known else ""


def _facts(found: Evaluation, studio: Studio | None) -> list[tuple[str, str]]:
    plan = found.plan
    explained = {"predicted": "the predicted class", "label": "the true class"}[plan["target"]]
    layers = sorted(set(studio.layers.values())) if studio else []
    return [
        ("model", f"{plan['model']} (weights {plan['weights']})"),
        ("data", f"{plan['data']} ({counted(plan['pictures'], 'picture')}, {plan['data_hash']})"),
        ("explained", explained),
        ("layer", f"{listed(layers)}, where none is named" if layers else "the default one, where none is named"),
        ("intervals", "95 %, percentile bootstrap over pictures, 1,000 draws"),
        ("seed", str(plan["seed"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in plan["versions"].items())),
        ("run", str(found.path)),
    ]


def _tables(verdicts: Verdicts, measured: Sequence[str]) -> list[Grid]:
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


def _comparisons(comparisons: Sequence[Comparison]) -> list[dict[str, str]]:
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


def _charts(found: Evaluation, methods: Sequence[str], measured: Sequence[str]) -> list[dict[str, Any]]:
    made = []
    for metric in measured:
        axes = found.values[metric].axes
        curves = {m: found.curves(metric, m) for m in methods[:SERIES]} if axes else {}
        lines = [line(m, c) for m, c in curves.items() if c is not None]
        if axes and lines:
            legend = [(swatch(i), each.name) for i, each in enumerate(lines)]
            made.append(
                {
                    "metric": metric,
                    "svg": chart(lines, *axes),
                    "legend": legend,
                    "more": len(methods) - len(lines),
                    "up": axes[1],
                }
            )
    return made


def _groups(found: Evaluation, methods: Sequence[str], judging: Sequence[str]) -> list[Grid]:
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


def _agreement(agreement: Agreement | None) -> Grid | None:
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


def _pictures(found: Evaluation, studio: Studio | None, main: str | None, methods: Sequence[str]) -> dict[str, Any]:
    if studio is None:
        return {"why": "The page was made without the pictures.", "rows": [], "best": [], "left_out": {}}
    if unlike := studio.unlike():
        return {"why": f"No picture is shown: {unlike}.", "rows": [], "best": [], "left_out": {}}
    some = methods[:DRAWN_METHODS]
    rows = [
        _row(found, studio, index, some, main)
        for right in (True, False)
        for index in chosen(found, SIDE_BY_SIDE, right)
    ]
    if not rows:
        any_of_them = list(found.pictures)[:SIDE_BY_SIDE]
        rows = [_row(found, studio, index, some, main) for index in any_of_them]
    best = [] if main is None else [_extremes(found, studio, main, method) for method in some]
    why = f"The first {len(some)} methods are shown." if len(methods) > len(some) else ""
    return {"why": why, "rows": rows, "best": [b for b in best if b], "main": main, "left_out": studio.left_out}


def _row(found: Evaluation, studio: Studio, index: int, methods: Sequence[str], main: str | None) -> dict[str, Any]:
    picture = found.pictures[index]
    answer = {True: "right", False: "wrong", None: ""}[picture.correct]
    said = f"{picture.predicted} ({picture.confidence:.0%})"
    shots = [Shot(studio.plain(index), f"{picture.name} with the true box", ["picture"])]
    for method in methods:
        value = "" if main is None else _value(found, main, method, index)
        uri = studio.overlay(index, method)
        if uri:
            shots.append(Shot(uri, f"{method} on {picture.name}: {value}", [method, value]))
    return {
        "name": picture.name,
        "said": said,
        "label": picture.label,
        "answer": answer,
        "shots": shots,
        "explained": picture.target,
    }


def _extremes(found: Evaluation, studio: Studio, metric: str, method: str) -> dict[str, Any] | None:
    cells = found.cells(metric, method)
    values = [(int(i), float(v)) for i, v in zip(cells.index, cells.values, strict=True)]
    best, worst = extremes(values, found.values[metric].better, EXTREMES)
    made: dict[str, Any] = {"method": method}
    for name, indices in (("best", best), ("worst", worst)):
        shots = []
        for index in indices:
            picture, value = found.pictures[index], _value(found, metric, method, index)
            if uri := studio.overlay(index, method):
                alt = f"{name} of {method}: {picture.name}, {metric} {value}"
                shots.append(Shot(uri, alt, [f"{metric} {value}", picture.label or picture.target]))
        made[name] = shots
    return made if made["best"] else None


def _value(found: Evaluation, metric: str, method: str, index: int) -> str:
    cells = found.cells(metric, method)
    at = np.flatnonzero(cells.index == index)
    return "not judged" if not len(at) or not cells.valid[at[0]] else number(float(cells.values[at[0]]))


def _failures(found: Evaluation) -> list[dict[str, str]]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for picture, method, reason in found.failures:
        grouped.setdefault((method, reason), []).append(picture)
    rows = [
        {
            "method": method or "all",
            "reason": reason,
            "count": counted(len(names), "picture"),
            "names": listed(names, 3),
        }
        for (method, reason), names in sorted(grouped.items(), key=lambda item: -len(item[1]))
    ]
    return rows[:REASONS]


def _costs(found: Evaluation) -> list[Grid]:
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


def _meanings(found: Evaluation, measured: Sequence[str]) -> list[dict[str, str]]:
    metrics = {found.presets[name].metric.name: found.presets[name].metric for name in measured}
    return [
        {
            "name": m.name,
            "summary": m.summary,
            "paper": m.paper,
            "deviation": "" if m.deviation == "none" else m.deviation,
        }
        for m in metrics.values()
    ]
