"""The HTML report of an error analysis."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from camlucida._optional import need
from camlucida.analysis.calibration import Calibration
from camlucida.analysis.confusion import Confusion
from camlucida.analysis.error_sheet import Mistake
from camlucida.analysis.mistakes_result import Mistakes
from camlucida.attribution.explanation import Explanation
from camlucida.evaluation.statistics import Interval
from camlucida.render.text import format_percent
from camlucida.report.class_plot import class_plot
from camlucida.report.formatting import count_noun, format_interval, format_number, format_p_value
from camlucida.report.gallery import Thumbnail
from camlucida.report.reliability import reliability_diagram
from camlucida.report.tables import Table, TableCell
from camlucida.report.templates import write_page
from camlucida.report.thumbnails import data_uri, thumbnail_of

THUMBNAIL_PX = 240
N_ERRORS = 12
MAX_PAIRS, MAX_CLASSES, MAX_FAILURES = 15, 60, 20
MEANINGS = {
    "entropy": "entropy of the map, in bits",
    "energy": "fraction of the map on the object",
    "energy_lift": "that fraction divided by the object's fraction of the image",
}


def mistakes_report(mistakes: Mistakes, path: str | Path, *, errors: int = N_ERRORS) -> Path:
    """Write the report of an error analysis: confusion matrix, calibration, most confident errors, comparison of maps.

    Args:
        mistakes: The result of the analysis.
        path: The HTML file to write.
        errors: The number of most confident errors to display; none if `mistakes` has no model and data.

    Returns:
        The path of the report.

    Raises:
        MissingExtra: If jinja2 is not installed.
    """
    need("jinja2", extra="analysis", what="writing a report")
    return write_page(Path(path).expanduser(), "mistakes.html", page_content(mistakes, errors))


def page_content(mistakes: Mistakes, errors: int) -> dict[str, Any]:
    """Return the variables of the template."""
    plan, judged = mistakes.plan, bool(mistakes.judged)
    calibration = mistakes.calibration if judged else None
    explained = mistakes.explain(errors) if judged and mistakes.model is not None and mistakes.data is not None else []
    return {
        "title": f"Errors of {plan['model']} on {plan['data']}",
        "facts": _facts(mistakes),
        "sentences": sentences(mistakes, calibration),
        "matrix": _confusion_table(mistakes.confusion) if judged else None,
        "pairs": _pair_rows(mistakes.confusion) if judged else [],
        "classes": _class_rows(mistakes.confusion) if judged else [],
        "more_classes": max(0, len(mistakes.confusion.classes()) - MAX_CLASSES) if judged else 0,
        "reliability": reliability_diagram(calibration.bins) if calibration else "",
        "class_plot": class_plot(mistakes.confusion) if judged else None,
        "numbers": _calibration_rows(calibration) if calibration else [],
        "errors": [_error_row(mistake) for mistake in explained],
        "contrasts": _contrast_tables(mistakes),
        "failures": mistakes.failures[:MAX_FAILURES],
        "more": max(0, len(mistakes.failures) - MAX_FAILURES),
    }


def _facts(mistakes: Mistakes) -> list[tuple[str, str]]:
    plan = mistakes.plan
    layer = "the default layer" if plan["layer"] is None else str(plan["layer"])
    return [
        ("model", f"{plan['model']} (weights {plan['weights']})"),
        ("data", f"{plan['data']} ({count_noun(plan['n_images'], 'image')}, {plan['data_hash']})"),
        ("maps", f"{plan['method']} at {layer}"),
        ("seed", str(plan["seed"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in plan["versions"].items())),
        ("run", str(mistakes.path)),
    ]


def sentences(mistakes: Mistakes, calibration: Calibration | None) -> list[str]:
    """Return the summary of an error analysis as sentences.

    Args:
        mistakes: The result of the analysis.
        calibration: Its calibration; None if no image has a label.
    """
    texts = []
    if calibration:
        wrong = len(mistakes.errors())
        texts.append(
            f"Top-1 accuracy: {_format_rate(mistakes.accuracy)} on "
            f"{count_noun(len(mistakes.judged), 'labelled image')}; {count_noun(wrong, 'wrong prediction')}."
        )
        if mistakes.top5 is not None:
            texts.append(f"Top-5 accuracy: {_format_rate(mistakes.top5)}.")
        texts += [
            f"Most confused pair: {pair.label}, predicted as {pair.predicted} ({pair.count} of {pair.total} images)."
            for pair in mistakes.confusion.pairs(1)
        ]
        texts.append(_calibration_sentence(calibration))
    differing = [each for each in mistakes.contrasts if each.differs]
    for contrast in differing:
        direction = "higher" if contrast.difference.value > 0 else "lower"
        texts.append(
            f"The {contrast.name} of the maps is {direction} for correct predictions than for wrong ones: "
            f"{format_number(contrast.right.value)} and {format_number(contrast.wrong.value)} "
            f"(p {format_p_value(contrast.corrected)})."
        )
    if mistakes.contrasts and not differing:
        texts.append("No significant difference between the maps of correct and of wrong predictions.")
    if mistakes.unjudged:
        texts.append(
            f"{count_noun(len(mistakes.unjudged), 'image')} without a label that is a class of the model: "
            "not evaluated."
        )
    if mistakes.failures:
        texts.append(f"{count_noun(len(mistakes.failures), 'image')} could not be read; the reasons are listed below.")
    return texts


def _calibration_sentence(calibration: Calibration) -> str:
    if not calibration.off:
        finding = "No significant miscalibration"
    else:
        finding = "The model is overconfident" if calibration.gap > 0 else "The model is underconfident"
    return (
        f"{finding}: the expected calibration error (ECE) is {calibration.ece:.1%}; a calibrated model reaches up to "
        f"{calibration.chance[1]:.1%} by chance with this number of images."
    )


def _format_rate(interval: Interval) -> str:
    return f"{format_percent(interval.value)} ({format_percent(interval.low)} to {format_percent(interval.high)})"


def _confusion_table(confusion: Confusion) -> dict[str, Any]:
    block = confusion.block()
    totals = dict(zip(confusion.names, confusion.counts.sum(1), strict=True))
    rows = []
    for i, name in enumerate(block.names):
        cells = []
        for j, count in enumerate(block.counts[i].tolist()):
            depth = math.sqrt(count / max(1, totals[name]))
            cells.append({"count": count, "right": i == j, "depth": f"{0.75 * depth:.2f}"})
        rows.append((name, cells, int(totals[name])))
    return {"names": block.names, "rows": rows, "of": len(confusion.names)}


def _pair_rows(confusion: Confusion) -> list[dict[str, Any]]:
    return [
        {
            "label": pair.label,
            "predicted": pair.predicted,
            "count": pair.count,
            "fraction": format_percent(pair.count / pair.total) if pair.total else "–",
        }
        for pair in confusion.pairs(MAX_PAIRS)
    ]


def _class_rows(confusion: Confusion) -> list[dict[str, Any]]:
    return [
        {
            "name": class_result.name,
            "n": class_result.n,
            "accuracy": format_percent(class_result.accuracy.value),
            "span": f"{class_result.accuracy.low:.0%} to {class_result.accuracy.high:.0%}",
            "precision": "–" if math.isnan(class_result.precision) else format_percent(class_result.precision),
        }
        for class_result in confusion.classes()[:MAX_CLASSES]
    ]


def _calibration_rows(calibration: Calibration) -> list[tuple[str, str, str]]:
    chance = f"a calibrated model has {calibration.chance[0]:.1%} on average, and up to {calibration.chance[1]:.1%}"
    rows = [
        ("ECE, 15 bins of equal width", f"{calibration.ece:.2%}", chance),
        ("ECE, 15 bins of equal count", f"{calibration.adaptive:.2%}", "does not depend on the limits of the bins"),
        ("maximum gap of a bin (MCE)", f"{calibration.max_gap:.1%}", "noisy in bins with few predictions"),
        ("mean confidence minus accuracy", f"{calibration.gap:+.1%}", "positive: overconfident"),
    ]
    if scaling := calibration.temperature_scaling:
        note = (
            f"reduces the loss from {format_number(scaling.loss[0])} to {format_number(scaling.loss[1])}, "
            f"and changes the ECE to {scaling.ece:.2%}"
        )
        note = "the loss has no minimum within the search range" if scaling.unbounded else note
        rows.append(("optimal temperature", format_number(scaling.temperature), f"{note}; not applied"))
    return rows


def _error_row(mistake: Mistake) -> dict[str, Any]:
    predicted_score, label_score = mistake.probabilities
    row = mistake.row
    thumbnails = [
        Thumbnail(_thumbnail(mistake, None), f"{row['image']}", ["image"]),
        Thumbnail(
            _thumbnail(mistake, mistake.predicted_map),
            f"map of {row['predicted']}",
            [f"predicted: {row['predicted']}", format_percent(predicted_score)],
        ),
        Thumbnail(
            _thumbnail(mistake, mistake.label_map),
            f"map of {row['label']}",
            [f"label: {row['label']}", format_percent(label_score)],
        ),
    ]
    return {"name": row["image"], "predicted": row["predicted"], "label": row["label"], "shots": thumbnails}


def _thumbnail(mistake: Mistake, explanation: Explanation | None) -> str:
    displayed = mistake.predicted_map.image if explanation is None else explanation.overlay()
    return data_uri(thumbnail_of(displayed, THUMBNAIL_PX, mistake.boxes))


def _contrast_tables(mistakes: Mistakes) -> list[Table]:
    usable = [each for each in mistakes.contrasts if min(each.n)]
    if not usable:
        return []
    rows = []
    for contrast in usable:
        cells = [
            _interval_cell(contrast.right, count_noun(contrast.n[0], "image")),
            _interval_cell(contrast.wrong, count_noun(contrast.n[1], "image")),
            _interval_cell(contrast.difference, "differs" if contrast.differs else ""),
            TableCell(format_p_value(contrast.corrected)),
        ]
        rows.append((f"{contrast.name}: {MEANINGS[contrast.name]}", False, cells))
    heads = [
        ("correct predictions", ""),
        ("wrong predictions", ""),
        ("difference", "correct minus wrong"),
        ("p", "corrected"),
    ]
    return [Table("maps of the predicted class", heads, rows, "metric")]


def _interval_cell(interval: Interval, note: str) -> TableCell:
    return TableCell(format_number(interval.value), format_interval(interval.low, interval.high), note)
