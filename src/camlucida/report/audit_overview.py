"""The figures at the top of an audit's report: accuracy, calibration, evidence on the object, classes, mean maps."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.analysis.calibration import Calibration, calibration
from camlucida.analysis.confusion import Confusion, wilson_interval
from camlucida.audits.audit_result import Audit
from camlucida.audits.targets.wording import wording_of
from camlucida.evaluation.statistics import Interval
from camlucida.render.colours import apply_colormap
from camlucida.report.audit_targets import recalls, target_confusion, target_tiles
from camlucida.report.class_plot import class_plot
from camlucida.report.formatting import format_interval, format_number
from camlucida.report.reliability import reliability_diagram
from camlucida.report.small_charts import stacked_histogram

MAX_PAIRS = 12
MEAN_MAP_PX = 168


def overview(audit: Audit, counts: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Return the variables of the overview.

    Args:
        audit: The audit.
        counts: Further tiles: value, name and note.
    """
    confusion, measured, words = confusion_of(audit), _judged_calibration(audit), wording_of(audit)
    classes = class_plot(confusion, linked=True) if confusion else None
    if audit.has_targets:
        found, intervals = recalls(audit)
        classes = class_plot(found, linked=True, intervals=intervals, names=("Recall", "object")) if found else None
    return {
        "tiles": [*_tiles(audit, measured), *counts],
        "reliability": reliability_diagram(measured.bins) if measured else "",
        "confidence": _histogram(audit, "confidence", "confidence of the predicted class"),
        "energy": _histogram(
            audit, "energy_in_box", f"fraction of the map {f'in {words.own}' if audit.has_targets else 'on the object'}"
        ),
        "classes": classes,
        "right": words.right,
        "wrong": words.wrong if audit.has_targets else "wrong predictions",
        "predictions": words.predictions,
        "rate": f"fraction of {words.right}" if audit.has_targets else "accuracy",
        "criterion": words.criterion if audit.has_targets else "",
        "own": words.own,
        "mean_maps": _mean_maps(audit),
    }


def confusion_of(audit: Audit) -> Confusion | None:
    """Return the confusion matrix of the rows whose label is a class of the model; None if there are none."""
    if audit.has_targets:
        return target_confusion(audit)
    rows = [row for row in audit.rows if row["correct"] is not None]
    if not rows:
        return None
    labels = [row["predicted_index"] if row["correct"] else row["label_index"] for row in rows]
    names = {row["label_index"]: row["label"] for row in rows}
    names |= {row["predicted_index"]: row["predicted"] for row in rows}
    listed = [str(names.get(i, f"class {i}")) for i in range(max(names) + 1)]
    return Confusion.of(np.array(labels), np.array([row["predicted_index"] for row in rows]), listed)


def confusion_section(confusion: Confusion) -> dict[str, Any]:
    """Return the variables of the confusion matrix, whose cells filter the images of the page."""
    block = confusion.block()
    totals = dict(zip(confusion.names, confusion.counts.sum(1).tolist(), strict=True))
    rows = [
        (
            name,
            [
                {
                    "count": int(count),
                    "right": i == j,
                    "depth": min(5, math.ceil(5 * math.sqrt(count / max(1, totals[name])))),
                    "predicted": block.names[j],
                }
                for j, count in enumerate(block.counts[i].tolist())
            ],
            totals[name],
        )
        for i, name in enumerate(block.names)
    ]
    return {"names": block.names, "rows": rows, "of": len(confusion.names), "pairs": confusion.pairs(MAX_PAIRS)}


def _tiles(audit: Audit, measured: Calibration | None) -> list[tuple[str, str, str]]:
    summary = audit.summary
    n_errors = int(summary["n_errors"])
    tiles = [(f"{summary['n_images']:,}", "images", f"{n_errors:,} could not be read" if n_errors else "all readable")]
    correct = [value for value in audit.column("correct").tolist() if value is not None]
    if audit.has_targets:
        tiles += target_tiles(audit)
    elif correct:
        accuracy = wilson_interval(sum(correct), len(correct))
        tiles.append((f"{accuracy.value:.1%}", "accuracy", _percent_interval(accuracy)))
        tiles.append((f"{len(correct) - sum(correct):,}", "wrong predictions", f"of {len(correct):,} labelled images"))
    if measured:
        direction = "overconfident" if measured.gap > 0 else "underconfident"
        tiles.append((f"{measured.ece:.1%}", "calibration error", direction if measured.off else "not significant"))
    energy, area = audit.column("energy_in_box"), audit.column("box_area")
    known = np.isfinite(energy) & np.isfinite(area)
    if known.any():
        where = f"in {wording_of(audit).own}" if audit.has_targets else "on the object"
        chance = float(np.median(area[known]))
        tiles.append((f"{float(np.median(energy[known])):.0%}", f"evidence {where}", f"median; by chance {chance:.0%}"))
    return tiles


def _percent_interval(interval: Interval) -> str:
    return f"{format_interval(100 * interval.low, 100 * interval.high)} %"


def _judged_calibration(audit: Audit) -> Calibration | None:
    correct, confidence = audit.column("correct"), audit.column("confidence")
    judged = np.array([value is not None for value in correct]) & np.isfinite(confidence)
    if audit.has_targets:  # a missed object is no prediction
        judged &= audit.column("outcome") != "missed"
    if not judged.any():
        return None
    return calibration(confidence[judged], correct[judged].astype(np.bool_), seed=int(audit.plan["seed"]))


def _histogram(audit: Audit, column: str, label: str) -> str:
    values, correct = audit.column(column), audit.column("correct")
    judged = np.array([value is not None for value in correct]) & np.isfinite(values)
    if not judged.any():
        return ""
    wrong, words = ~correct[judged].astype(np.bool_), wording_of(audit)
    if audit.has_targets:
        return stacked_histogram(values[judged], wrong, label, names=(words.right, words.wrong))
    return stacked_histogram(values[judged], wrong, label)


def _mean_maps(audit: Audit) -> list[dict[str, str]]:
    """Return the mean maps of correct and of wrong predictions as images, with one scale for both."""
    maps = audit.maps().astype(np.float32)
    if maps.ndim != 3 or not maps.size:
        return []
    correct = audit.column("correct")
    words = wording_of(audit)
    wrong = words.wrong if audit.has_targets else "wrong predictions"
    groups = [(words.right, correct == True), (wrong, correct == False)]  # noqa: E712
    if not any(which.any() for _, which in groups):
        groups = [(f"all {words.rows}", np.ones(len(maps), dtype=np.bool_))]
    means = {}
    for name, which in groups:
        positive = np.clip(maps[which.astype(np.bool_)], 0, 1)
        finite = positive[np.isfinite(positive).all((1, 2))]
        if len(finite):
            means[f"{name} ({len(finite):,})"] = finite.mean(0)
    largest = max((float(mean.max()) for mean in means.values()), default=0.0)
    return [
        {"name": name, "uri": _png(mean / largest), "peak": format_number(float(mean.max()))}
        for name, mean in means.items()
        if largest > 0
    ]


def _png(map_: NDArray[np.float32]) -> str:
    height, width = map_.shape
    scale = MEAN_MAP_PX / max(height, width)
    smooth = Image.fromarray(map_).resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    sink = io.BytesIO()
    Image.fromarray(apply_colormap(np.asarray(smooth))).save(sink, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()
