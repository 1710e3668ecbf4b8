"""The page of an evaluation: what is on it, in which order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camlucida.data.datasets import DataSet
from camlucida.evaluation.comparing import corrected
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.records import Summary
from camlucida.extras import need
from camlucida.models.model import Model
from camlucida.report.charts import SERIES, chart, line, swatch
from camlucida.report.gallery import image_section
from camlucida.report.numbers import counted, listed, number
from camlucida.report.rendering import write_page
from camlucida.report.tables import agreement_table, comparison_rows, cost_tables, group_tables, number_tables
from camlucida.report.thumbnails import Studio
from camlucida.report.words import Verdicts, sentences

REASONS = 20


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
    pictures = image_section(found, studio, main, methods)
    return {
        "title": f"{listed(methods, 3)} on {found.plan['data']}",
        "facts": _facts(found, studio),
        "sentences": sentences(verdicts, agreement),
        "tables": number_tables(verdicts, measured),
        "untrusted": {m: why for m, why in untrusted.items() if m in measured},
        "comparisons": comparison_rows(comparisons),
        "family": len(comparisons),
        "charts": _charts(found, methods, measured),
        "groups": group_tables(found, methods, judging),
        "agreement": agreement_table(agreement),
        "likenesses": found.likenesses,
        "pictures": pictures,
        "failures": _failures(found),
        "costs": cost_tables(found),
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
