"""The HTML report of an error analysis."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from camlucida._optional import need
from camlucida.analysis.calibration import Calibration
from camlucida.analysis.confusion import Confusion
from camlucida.analysis.mistakes_result import Mistakes
from camlucida.analysis.error_sheet import Mistake
from camlucida.attribution.explanation import Explanation
from camlucida.evaluation.statistics import Interval
from camlucida.render.boxes import draw_boxes
from camlucida.render.resize import display_size, resize_image
from camlucida.render.text import format_percent
from camlucida.report.formatting import count_noun, format_interval, format_number, format_p_value
from camlucida.report.gallery import Thumbnail
from camlucida.report.reliability import reliability_diagram
from camlucida.report.tables import Table, TableCell
from camlucida.report.templates import write_page
from camlucida.report.thumbnails import data_uri

THUMBNAIL_PX = 240
N_ERRORS = 12
MAX_PAIRS, MAX_CLASSES, MAX_FAILURES = 15, 60, 20
MEANINGS = {
    "entropy": "how spread out the map is, in bits",
    "energy": "the share of the map on the object",
    "energy_lift": "that share over the object's share of the picture",
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
        "title": f"Where {plan['model']} errs on {plan['data']}",
        "facts": _facts(mistakes),
        "sentences": sentences(mistakes, calibration),
        "matrix": _confusion_table(mistakes.confusion) if judged else None,
        "pairs": mistakes.confusion.pairs(MAX_PAIRS) if judged else [],
        "classes": _class_rows(mistakes.confusion) if judged else [],
        "more_classes": max(0, len(mistakes.confusion.classes()) - MAX_CLASSES) if judged else 0,
        "reliability": reliability_diagram(calibration.bins) if calibration else "",
        "numbers": _calibration_rows(calibration) if calibration else [],
        "errors": [_error_row(mistake) for mistake in explained],
        "contrasts": _contrast_tables(mistakes),
        "failures": mistakes.failures[:MAX_FAILURES],
        "more": max(0, len(mistakes.failures) - MAX_FAILURES),
        "percent": format_percent,
    }


def _facts(mistakes: Mistakes) -> list[tuple[str, str]]:
    plan = mistakes.plan
    layer = "the default layer" if plan["layer"] is None else str(plan["layer"])
    return [
        ("model", f"{plan['model']} (weights {plan['weights']})"),
        ("data", f"{plan['data']} ({count_noun(plan['pictures'], 'picture')}, {plan['data_hash']})"),
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
            f"Right on {_format_rate(mistakes.accuracy)} of {count_noun(len(mistakes.judged), 'picture')}; "
            f"{wrong:,} wrong."
        )
        texts.append(f"The true class is among the five likeliest on {_format_rate(mistakes.top5)}.")
        pairs = mistakes.confusion.pairs(1)
        if pairs:
            top_pair = pairs[0]
            texts.append(
                f"Most often confused: {top_pair.truth}, taken for {top_pair.said} ({top_pair.count} of "
                f"{top_pair.total})."
            )
        texts.append(_calibration_sentence(calibration))
    differing = [each for each in mistakes.contrasts if each.differs]
    for contrast in differing:
        direction = "higher" if contrast.difference.value > 0 else "lower"
        texts.append(
            f"On right answers {contrast.name} is {direction} than on wrong ones: "
            f"{format_number(contrast.right.value)} against "
            f"{format_number(contrast.wrong.value)} (p {format_p_value(contrast.corrected)})."
        )
    if mistakes.contrasts and not differing:
        texts.append("No difference was found between the maps of right and of wrong answers.")
    if mistakes.unjudged:
        texts.append(
            f"{count_noun(len(mistakes.unjudged), 'picture')} without a label, or with one that the model "
            "does not have: "
            "not judged."
        )
    if mistakes.failures:
        texts.append(f"{count_noun(len(mistakes.failures), 'picture')} could not be read: see below why.")
    return texts


def _calibration_sentence(calibration: Calibration) -> str:
    if not calibration.off:
        return (
            f"Nothing says that its confidence is wrong: the calibration error is {calibration.ece:.1%}, and up to "
            f"{calibration.chance[1]:.1%} come by chance with so many pictures."
        )
    verdict = "too sure of itself" if calibration.gap > 0 else "less sure than it could be"
    return (
        f"It is {verdict}: the calibration error is {calibration.ece:.1%}, and up to "
        f"{calibration.chance[1]:.1%} would come by chance with so "
        "many pictures."
    )


def _format_rate(interval: Interval) -> str:
    return f"{format_percent(interval.value)} ({interval.low:.1%} to {interval.high:.1%})"


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
    chance = (
        f"{calibration.chance[0]:.1%} on average, up to {calibration.chance[1]:.1%}, if it were right as "
        "often as it says"
    )
    result = [
        ("ECE, 15 bins of equal width", f"{calibration.ece:.2%}", chance),
        ("ECE, 15 bins with equally many", f"{calibration.adaptive:.2%}", "does not depend on where bins begin"),
        ("largest gap of a bin", f"{calibration.max_gap:.1%}", "of few answers it is mostly chance"),
        ("mean confidence less accuracy", f"{calibration.gap:+.1%}", "above 0: too sure"),
    ]
    if calibration.temperature_scaling:
        tempered = calibration.temperature_scaling
        note = (
            f"the loss would fall from {format_number(tempered.loss[0])} to "
            f"{format_number(tempered.loss[1])}, the ECE become {tempered.ece:.2%}"
        )
        note = "the loss has no minimum: the further, the better" if tempered.unbounded else note
        result.append(("temperature that would help", format_number(tempered.temperature), f"{note}; not applied"))
    return result


def _error_row(mistake: Mistake) -> dict[str, Any]:
    predicted_score, true_score = mistake.probabilities
    row = mistake.row
    thumbnails = [
        Thumbnail(_thumbnail(mistake, None), f"{row['picture']}", ["picture"]),
        Thumbnail(
            _thumbnail(mistake, mistake.predicted_map),
            f"map of {row['said']}",
            [f"saw: {row['said']}", format_percent(predicted_score)],
        ),
        Thumbnail(
            _thumbnail(mistake, mistake.label_map),
            f"map of {row['label']}",
            [f"missed: {row['label']}", format_percent(true_score)],
        ),
    ]
    return {"name": row["picture"], "said": row["said"], "label": row["label"], "shots": thumbnails}


def _thumbnail(mistake: Mistake, explanation: Explanation | None) -> str:
    image = mistake.predicted_map.image
    displayed = image if explanation is None else explanation.overlay()
    size = display_size(image.size, (THUMBNAIL_PX, THUMBNAIL_PX))
    thumbnail = resize_image(displayed, size)
    if mistake.boxes is None:
        return data_uri(thumbnail)
    return data_uri(draw_boxes(thumbnail, mistake.boxes * ([size[0] / image.width, size[1] / image.height] * 2)))


def _contrast_tables(mistakes: Mistakes) -> list[Table]:
    usable = [each for each in mistakes.contrasts if min(each.n)]
    if not usable:
        return []
    rows = []
    for contrast in usable:
        cells = [
            _interval_cell(contrast.right, f"{contrast.n[0]:,} pictures"),
            _interval_cell(contrast.wrong, f"{contrast.n[1]:,} pictures"),
            _interval_cell(contrast.difference, "differs" if contrast.differs else ""),
            TableCell(format_p_value(contrast.corrected)),
        ]
        rows.append((f"{contrast.name}: {MEANINGS[contrast.name]}", False, cells))
    heads = [("right answers", ""), ("wrong answers", ""), ("difference", "right less wrong"), ("p", "corrected")]
    return [Table("maps of the class that was said", heads, rows, "the map's")]


def _interval_cell(interval: Interval, note: str) -> TableCell:
    return TableCell(format_number(interval.value), format_interval(interval.low, interval.high), note)
