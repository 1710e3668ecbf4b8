"""The images of an evaluation report: methods next to each other, and the best and worst images of each method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camlucida.evaluation.evaluation import Evaluation
from camlucida.report.formatting import format_number
from camlucida.report.thumbnails import ThumbnailRenderer, best_and_worst, sample_images

MAX_METHODS = 8
N_EXTREMES = 3
N_IMAGES = 3
"""Number of correctly predicted images, and of wrongly predicted ones."""


@dataclass(frozen=True)
class Thumbnail:
    """A thumbnail with its caption."""

    uri: str
    alt: str
    lines: Sequence[str]


def image_section(
    evaluation: Evaluation, renderer: ThumbnailRenderer | None, main: str | None, methods: Sequence[str]
) -> dict[str, Any]:
    """Return the variables of the image section.

    Args:
        evaluation: The evaluation.
        renderer: Renders the thumbnails; None omits the images.
        main: The metric that selects the best and worst images, if there is one.
        methods: The methods without the controls.
    """
    if renderer is None:
        return {"why": "This report was written without images.", "rows": [], "best": [], "left_out": {}}
    if difference := renderer.mismatch():
        return {"why": f"No images are displayed: {difference}.", "rows": [], "best": [], "left_out": {}}
    displayed = methods[:MAX_METHODS]
    rows = [
        _row(evaluation, renderer, index, displayed, main)
        for correct in (True, False)
        for index in sample_images(evaluation, N_IMAGES, correct)
    ]
    if not rows:
        indices = list(evaluation.images)[:N_IMAGES]
        rows = [_row(evaluation, renderer, index, displayed, main) for index in indices]
    best = [] if main is None else [_extremes(evaluation, renderer, main, method) for method in displayed]
    note = f"The first {len(displayed)} methods are displayed." if len(methods) > len(displayed) else ""
    box_metric = renderer.box_metric.name if renderer.box_metric else ""
    return {
        "why": note,
        "rows": rows,
        "best": [b for b in best if b],
        "main": main,
        "box_metric": box_metric,
        "left_out": renderer.left_out,
    }


def example_rows(
    evaluation: Evaluation, renderer: ThumbnailRenderer | None, main: str | None, methods: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the best, the median and the worst image by a metric, each with the maps of all methods.

    Args:
        evaluation: The evaluation.
        renderer: Renders the thumbnails; None omits the images.
        main: The metric, whose mean over the methods ranks the images; None omits them.
        methods: The methods without the controls.
    """
    if renderer is None or main is None or renderer.mismatch():
        return []
    displayed = methods[:MAX_METHODS]
    order = _ranked_images(evaluation, main, displayed)
    chosen = {"Best": 0, "Median": len(order) // 2, "Worst": len(order) - 1}
    rows = []
    for name, at in chosen.items() if len(order) >= len(chosen) else ():
        row = _row(evaluation, renderer, order[at], displayed, main)
        if len(row["shots"]) > 1:
            rows.append(row | {"rank": name})
    return rows


def _ranked_images(evaluation: Evaluation, metric: str, methods: Sequence[str]) -> list[int]:
    """Return the images that every method was scored on, best first by the mean over the methods."""
    scores: dict[int, list[float]] = {}
    for method in methods:
        column = evaluation.column(metric, method)
        for index, value in zip(column.index[column.valid], column.values[column.valid], strict=True):
            scores.setdefault(int(index), []).append(float(value))
    sign = -1 if evaluation.values[metric].better == "high" else 1
    complete = {index: float(np.mean(values)) for index, values in scores.items() if len(values) == len(methods)}
    return sorted(complete, key=lambda index: (sign * complete[index], index))


def _row(
    evaluation: Evaluation, renderer: ThumbnailRenderer, index: int, methods: Sequence[str], main: str | None
) -> dict[str, Any]:
    image = evaluation.images[index]
    words = {True: "correct", False: "wrong", None: ""}
    if evaluation.has_several_targets:
        words = {True: "matched", False: "not matched", None: ""}
    has_probability = image.confidence == image.confidence  # a regression has none
    region = image.region or "annotated box"
    caption = ["image", image.region] if image.region else ["image"]
    thumbnails = [Thumbnail(renderer.plain(index), f"{image.name} with the {region}", caption)]
    for method in methods:
        value = "" if main is None else _format_value(evaluation, main, method, index)
        uri = renderer.overlay(index, method)
        if uri:
            thumbnails.append(Thumbnail(uri, f"{method} on {image.name}: {value}", [method, value]))
    uri, names = renderer.classes(index)
    if uri:
        alt = f"predicted classes of {image.name}: {', '.join(names)}"
        thumbnails.insert(1, Thumbnail(uri, alt, ["predicted classes"]))
    return {
        "name": image.name,
        "predicted": f"{image.predicted} ({image.confidence:.0%})" if has_probability else image.predicted,
        "label": image.label,
        "correctness": words[image.correct],
        "shots": thumbnails,
        "explained": image.target,
    }


def _extremes(evaluation: Evaluation, renderer: ThumbnailRenderer, metric: str, method: str) -> dict[str, Any] | None:
    column = evaluation.column(metric, method)
    values = [(int(i), float(v)) for i, v in zip(column.index, column.values, strict=True)]
    best, worst = best_and_worst(values, evaluation.values[metric].better, N_EXTREMES)
    result: dict[str, Any] = {"method": method}
    for name, indices in (("best", best), ("worst", worst)):
        thumbnails = []
        for index in indices:
            image, value = evaluation.images[index], _format_value(evaluation, metric, method, index)
            if uri := renderer.overlay(index, method):
                shown = image.target if evaluation.has_several_targets else image.label or image.target
                alt = f"{name} of {method}: {image.name}, {metric} {value}"
                thumbnails.append(Thumbnail(uri, alt, [f"{metric} {value}", shown]))
        result[name] = thumbnails
    return result if result["best"] else None


def _format_value(evaluation: Evaluation, metric: str, method: str, index: int) -> str:
    column = evaluation.column(metric, method)
    rows = np.flatnonzero(column.index == index)
    if not len(rows) or not column.valid[rows[0]]:
        return "no score"
    return format_number(float(column.values[rows[0]]))
