"""The HTML report of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camlucida._optional import need
from camlucida.data.datasets import Dataset
from camlucida.evaluation.comparison import holm_corrected
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.records import Summary
from camlucida.evaluation.statistics import Floats
from camlucida.evaluation.store import Store
from camlucida.evaluation.tables import read_curve_images
from camlucida.models.model import Model
from camlucida.report.charts import MAX_SERIES, MeanCurve, mean_curve, svg_chart, swatch
from camlucida.report.formatting import count_noun, format_number, join_names
from camlucida.report.gallery import example_rows, image_section
from camlucida.report.metric_plots import metric_plots
from camlucida.report.summary_text import TestResults, summary_sentences
from camlucida.report.tables import agreement_table, comparison_rows, cost_tables, group_tables, score_tables
from camlucida.report.templates import write_page
from camlucida.report.thumbnails import ThumbnailRenderer

MAX_REASONS = 20


def report(
    evaluation: Evaluation,
    path: str | Path,
    *,
    model: Model | None = None,
    data: Dataset | None = None,
    untrusted: Mapping[str, str] | None = None,
) -> Path:
    """Write an evaluation as one self-contained HTML page, without scripts.

    Args:
        evaluation: The result of `evaluate`, or `Evaluation(folder)` of a finished run.
        path: The HTML file to write.
        model: The evaluated model; with `data`, some images are explained again and displayed. None omits the images.
        data: The evaluated data set; None omits the images.
        untrusted: Metrics that cannot rank the controls, with the reason; they are highlighted, and no method is called
            best by them.

    Returns:
        The path of the report.

    Raises:
        MissingExtra: If jinja2 is not installed.
    """
    need("jinja2", extra="analysis", what="writing a report")  # before images are explained again
    renderer = ThumbnailRenderer(evaluation, model, data) if model is not None and data is not None else None
    content = page_content(evaluation, renderer, dict(untrusted or {}))
    return write_page(Path(path).expanduser(), "page.html", content)


def page_content(
    evaluation: Evaluation, renderer: ThumbnailRenderer | None, untrusted: Mapping[str, str]
) -> dict[str, Any]:
    """Return the variables of the template."""
    table = {(s.metric, s.method): s for s in evaluation.table()}
    measured = [m for m in evaluation.values if any(table[m, method].n for method in evaluation.methods)]
    methods = [m for m in evaluation.methods if m not in evaluation.controls]
    judging_metrics = [m for m in measured if evaluation.values[m].better != "neither"]
    comparisons = evaluation.comparisons(judging_metrics)
    strongest = {m: strongest_control(evaluation, table, m) for m in judging_metrics}
    control_comparisons = holm_corrected(
        [evaluation.compare(m, a, b) for m, b in strongest.items() if b for a in methods]
    )
    results = TestResults(evaluation, table, comparisons, control_comparisons, untrusted)
    agreement = evaluation.agreement(judging_metrics) if len(judging_metrics) > 1 and len(methods) > 2 else None
    main = next((m for m in judging_metrics if m not in untrusted), None)
    images = image_section(evaluation, renderer, main, methods)
    return {
        "title": f"{join_names(methods, 3)} on {evaluation.plan['data']}, {evaluation.plan['model']}",
        "examples": example_rows(evaluation, renderer, main, methods),
        "plots": metric_plots(results, measured, strongest),
        "main": main,
        "box_metric": images.get("box_metric", ""),
        "facts": _facts(evaluation, renderer),
        "sentences": summary_sentences(results, agreement),
        "tables": score_tables(results, measured),
        "untrusted": {m: reason for m, reason in untrusted.items() if m in measured},
        "comparisons": comparison_rows(comparisons),
        "family": len(comparisons),
        "charts": _charts(evaluation, methods, measured),
        "groups": group_tables(evaluation, methods, judging_metrics),
        "agreement": agreement_table(agreement),
        "similarities": evaluation.map_similarities,
        "images": images,
        "failures": _failures(evaluation),
        "costs": cost_tables(evaluation),
        "metrics": _metric_descriptions(evaluation, measured),
        "controls": sorted(evaluation.controls),
        "several": evaluation.has_several_targets,
        "number": format_number,
    }


def strongest_control(evaluation: Evaluation, table: Mapping[tuple[str, str], Summary], metric: str) -> str:
    """Return the uninformative baseline with the best score by a metric, or "" if there is none."""
    scored = [s for s in (table[metric, c] for c in evaluation.uninformative) if s.n and math.isfinite(s.value)]
    sign = 1 if evaluation.values[metric].better == "high" else -1
    return max(scored, key=lambda s: sign * s.value).method if scored else ""


def _facts(evaluation: Evaluation, renderer: ThumbnailRenderer | None) -> list[tuple[str, str]]:
    plan = evaluation.plan
    explained = {"predicted": "the predicted class", "true": "the true class"}.get(plan["target"], plan["target"])
    layers = sorted(set(renderer.layers.values())) if renderer else []
    several = evaluation.has_several_targets
    return [
        ("model", f"{plan['model']} (weights {plan['weights']})"),
        ("data", f"{plan['data']} ({count_noun(plan['n_images'], 'image')}, {plan['data_hash']})"),
        ("target", f"{explained}, {count_noun(len(evaluation.images), 'map')}" if several else explained),
        ("layer", f"{join_names(layers)}, unless the method names one" if layers else "the default of each method"),
        ("intervals", f"95 %, percentile bootstrap over images{', each with all its maps' * several}, 1,000 resamples"),
        ("seed", str(plan["seed"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in plan["versions"].items())),
        ("run", str(evaluation.path)),
    ]


def _charts(evaluation: Evaluation, methods: Sequence[str], measured: Sequence[str]) -> list[dict[str, Any]]:
    chart_list = []
    for metric in measured:
        axes = evaluation.values[metric].axes
        curves = {m: evaluation.curves(metric, m) for m in methods[:MAX_SERIES]} if axes else {}
        lines = [mean_curve_of(evaluation, metric, m, c) for m, c in curves.items() if c is not None]
        if axes and lines:
            legend = [(swatch(i), curve.name) for i, curve in enumerate(lines)]
            chart_list.append(
                {
                    "metric": metric,
                    "svg": svg_chart(lines, *axes),
                    "legend": legend,
                    "more": len(methods) - len(lines),
                    "up": axes[1],
                }
            )
    return chart_list


def mean_curve_of(evaluation: Evaluation, metric: str, method: str, curves: Floats) -> MeanCurve:
    """Return the mean curve of a method by a metric, whose band takes targets of one image for dependent."""
    several = evaluation.has_several_targets
    return mean_curve(method, curves, read_curve_images(Store(evaluation.path), metric, method) if several else None)


def _failures(evaluation: Evaluation) -> list[dict[str, str]]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for image, method, reason in evaluation.failures:
        grouped.setdefault((method, reason), []).append(image)
    rows = [
        {
            "method": method or "all",
            "reason": reason,
            "count": count_noun(len(names), "image"),
            "names": join_names(names, 3),
        }
        for (method, reason), names in sorted(grouped.items(), key=lambda item: -len(item[1]))
    ]
    return rows[:MAX_REASONS]


def _metric_descriptions(evaluation: Evaluation, measured: Sequence[str]) -> list[dict[str, str]]:
    metrics = {evaluation.presets[name].metric.name: evaluation.presets[name].metric for name in measured}
    return [
        {
            "name": m.name,
            "summary": m.summary,
            "paper": m.paper,
            "deviation": "" if m.deviation == "none" else m.deviation,
        }
        for m in metrics.values()
    ]
