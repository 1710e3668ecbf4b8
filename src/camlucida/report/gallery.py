"""The images on an evaluation's page: side by side, and each method's best and worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camlucida.evaluation.evaluation import Evaluation
from camlucida.report.numbers import number
from camlucida.report.thumbnails import Studio, chosen, extremes

DRAWN_METHODS = 8
EXTREMES = 3
SIDE_BY_SIDE = 3
"""Pictures that the model gets right, and as many that it gets wrong."""


@dataclass(frozen=True)
class Shot:
    """A thumbnail with what is said of it."""

    uri: str
    alt: str
    lines: Sequence[str]


def image_section(found: Evaluation, studio: Studio | None, main: str | None, methods: Sequence[str]) -> dict[str, Any]:
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
