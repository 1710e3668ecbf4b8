"""The sections of an audit's report on slices, on correct and wrong predictions, and on the comparison with another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from camlucida.report.audit_groups import Groups, number, texts
from camlucida.report.charts import swatch
from camlucida.report.forest_plot import ForestPlot, ForestRow, forest_plot
from camlucida.report.formatting import count_noun, format_interval, format_number, format_p_value
from camlucida.report.small_charts import RocCurve, roc_chart

MAX_SLICES = 24
"""Number of slices in the plot, the worst first."""
MAX_DIFFERENCES = 10
"""Number of differences that are displayed, the most significant first; the others are folded."""
MAX_CURVES = 5
"""Number of ROC curves, the largest area first."""
MAX_ROWS, MAX_COLUMNS = 20, 8
"""Size of a table of the comparison."""


def slices_section(record: Mapping[str, Any], groups: Groups) -> dict[str, Any]:
    """Return the variables of the section on slices; the images of each slice become a group."""
    noun = "target" if (record.get("settings") or {}).get("clustered_by") else "image"
    rows = []
    for i, entry in enumerate(record["slices"][:MAX_SLICES], 1):
        group = groups.add(f"slice-{i}", f"Slice: {entry['name']}", list(entry["rows"]), int(entry["n"]))
        rest = number(entry.get("rest_accuracy"))
        rows.append(
            ForestRow(
                str(entry["name"]),
                number(entry["accuracy"]),
                number(entry["low"]),
                number(entry["high"]),
                note=count_noun(int(entry["n"]), noun) + (f"; others {rest:.0%}" if math.isfinite(rest) else ""),
                p=format_p_value(number(entry.get("p_corrected"))),
                highlighted=bool(entry["differs"]),
                filters={"group": group},
            )
        )
    accuracy = number(record.get("accuracy"))
    plot = forest_plot(
        "Accuracy by slice, with 95 % intervals",
        rows,
        reference=accuracy if math.isfinite(accuracy) else None,
        reference_name=f"all {noun}s",
        limits=(0.0, 1.0),
        percent=True,
    )
    return {
        "plot": plot if rows else None,
        "more": max(0, len(record["slices"]) - MAX_SLICES),
        "sentences": texts(record),
    }


def differences_section(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the section on the maps of correct and of wrong predictions."""
    entries = sorted(_entries(record.get("differences"), "name"), key=_significance)
    rows = [_difference_row(entry) for entry in entries]
    curves = []
    for entry in [*_entries(record.get("guess_detector"), "name"), *_entries(record.get("combined"), "name")]:
        if entry.get("roc"):
            interval = format_interval(number(entry.get("low")), number(entry.get("high")))
            text = f"AUC {format_number(number(entry.get('auc')))} ({interval})"
            curves.append(RocCurve(str(entry.get("name") or entry.get("score")), entry["roc"], text))
    curves = sorted(curves, key=lambda curve: curve.text, reverse=True)[:MAX_CURVES]
    title = "ROC curves of scores that detect wrong predictions"
    return {
        "plot": _difference_plot(rows[:MAX_DIFFERENCES]),
        "folded": _difference_plot(rows[MAX_DIFFERENCES:]),
        "roc": roc_chart(curves, title) if curves else "",
        "legend": [(swatch(i), curve.name, curve.text) for i, curve in enumerate(curves)],
        "sentences": texts(record),
    }


def comparison_section(record: Mapping[str, Any], groups: Groups) -> dict[str, Any]:
    """Return the variables of the section on the comparison with an earlier audit: its sentences and its lists."""
    tables: list[dict[str, Any]] = []
    shifts = [entry for entry in record.get("shifts") or [] if isinstance(entry.get("difference"), dict)]
    for name, entries in record.items():
        if name == "shifts" and shifts:
            continue
        if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
            continue
        columns = [key for key, value in entries[0].items() if not isinstance(value, list | dict)][:MAX_COLUMNS]
        rows = [[_cell(entry.get(column)) for column in columns] for entry in entries[:MAX_ROWS]]
        tables.append({"name": _words(name), "columns": [_words(c) for c in columns], "rows": rows, "n": len(entries)})
        positions = [i for entry in entries for i in _positions(entry)]
        if positions:
            tables[-1]["group"] = groups.add(f"comparison-{name}", f"Comparison: {_words(name)}", positions)
    plot = forest_plot(
        "Change of the mean since the earlier audit, with 95 % intervals",
        [_shift_row(entry) for entry in shifts[:MAX_SLICES]],
        reference=0.0,
        reference_name="no change",
    )
    return {"plot": plot if shifts else None, "tables": tables, "sentences": texts(record)}


def _difference_plot(rows: Sequence[ForestRow]) -> ForestPlot | None:
    caption = "Correct minus wrong predictions, with 95 % intervals"
    return forest_plot(caption, rows, reference=0.0, reference_name="no difference") if rows else None


def _significance(entry: Mapping[str, Any]) -> float:
    """Return the corrected p-value of a difference, by which the rows are ordered; unknown ones come last."""
    p = number(_corrected_p(entry))
    return p if math.isfinite(p) else math.inf


def _corrected_p(entry: Mapping[str, Any]) -> Any:
    return entry.get("p_corrected", entry.get("corrected", entry.get("p")))


def _difference_row(entry: Mapping[str, Any]) -> ForestRow:
    difference = entry.get("difference")
    source: Mapping[str, Any] = difference if isinstance(difference, dict) else entry
    value = source.get("value") if isinstance(difference, dict) else difference
    groups = [_mean(entry, *names) for names in (("correct", "right"), ("wrong",))]
    return ForestRow(
        str(entry.get("name") or entry.get("column")),
        number(value),
        number(source.get("low")),
        number(source.get("high")),
        note=f"correct {groups[0]}, wrong {groups[1]}" if all(groups) else "",
        p=format_p_value(number(_corrected_p(entry))),
        highlighted=bool(entry.get("differs")),
    )


def _shift_row(entry: Mapping[str, Any]) -> ForestRow:
    difference = entry["difference"]
    return ForestRow(
        f"{entry.get('column')}: {entry.get('group') or 'all images'}",
        number(difference.get("value")),
        number(difference.get("low")),
        number(difference.get("high")),
        note=count_noun(int(entry.get("n") or 0), "image"),
        p=format_p_value(number(entry.get("p_corrected"))),
        highlighted=bool(entry.get("differs")),
    )


def _mean(entry: Mapping[str, Any], *names: str) -> str:
    value = next((entry[name] for name in names if name in entry), None)
    value = value.get("value") if isinstance(value, dict) else value
    return "" if value is None else format_number(number(value))


def _entries(values: Any, name: str) -> list[dict[str, Any]]:
    """Return a list of objects; a mapping of names to objects becomes one, with the names under `name`."""
    if isinstance(values, dict):
        if any(not isinstance(value, dict) for value in values.values()):
            return [values]
        return [{name: key, **value} for key, value in values.items()]
    return [value for value in values or [] if isinstance(value, dict)]


def _positions(entry: Mapping[str, Any]) -> list[int]:
    found = entry.get("rows", entry.get("row", entry.get("index", [])))
    found = found if isinstance(found, list) else [found]
    return [position for position in found if isinstance(position, int) and not isinstance(position, bool)]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_number(value) if isinstance(value, float) else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
