"""Reading of the tables of an evaluation: images, failures, similarities of maps, measurements, curves and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.records import MAX_TARGETS, Image, MapSimilarity, MetricColumn, map_index
from camlucida.evaluation.statistics import Floats
from camlucida.evaluation.store import SIMILARITY_METRICS, Row, Store
from camlucida.metrics import MetricOutput

IMAGE_COLUMNS = ["index", "image", "label", "predicted", "target", "correct", "confidence"]
"""Columns that describe an image and its prediction."""


def read_images(store: Store, several: bool = False) -> dict[int, Image]:
    """Return all images that could be read, by their index in the data set; or their targets, by `map_index`.

    Args:
        store: The folder of the run.
        several: Whether an image may have several targets.
    """
    if several:
        return _read_targets(store)
    images: dict[int, Image] = {}
    for table in store.tables(IMAGE_COLUMNS):
        for row in table.filter(table["predicted"].is_valid()).group_by(IMAGE_COLUMNS).aggregate([]).to_pylist():
            images[row["index"]] = _image(row["index"], row)
    return dict(sorted(images.items()))


def _read_targets(store: Store) -> dict[int, Image]:
    """Return all targets of the images that could be read, by `map_index`."""
    targets: dict[int, Image] = {}
    for table in store.tables([*IMAGE_COLUMNS, "target_number", "target_spec", "region", "region_box"]):
        for row in table.filter(table["predicted"].is_valid()).to_pylist():
            index, box = map_index(row["index"], row["target_number"]), row["region_box"]
            if index not in targets:
                targets[index] = replace(
                    _image(index, row),
                    target_spec=row["target_spec"] or "",
                    region=row["region"] or "",
                    region_box=None if box is None else tuple(box),
                )
    return dict(sorted(targets.items()))


def _image(index: int, row: Row) -> Image:
    own = {name: row[name] for name in ("predicted", "target", "correct", "confidence")}
    return Image(index, row["image"], row["label"] or "", image=row["index"], **own)


def read_failures(store: Store) -> tuple[tuple[str, str, str], ...]:
    """Return (image, method, reason) for everything that could not be measured."""
    failures: dict[tuple[str, str, str], None] = {}
    for table in store.tables(["image", "method", "error"]):
        for row in table.filter(table["error"].is_valid()).to_pylist():
            failures[row["image"], row["method"] or "", row["error"]] = None
    return tuple(failures)


def read_map_similarities(store: Store, pairs: Sequence[tuple[str, str]]) -> tuple[MapSimilarity, ...]:
    """Return the similarities of the maps of pairs of methods."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for table in store.tables(["method", "metric", "preset", "value", "valid"]) if pairs else ():
        for row in table.filter(table["preset"].is_valid()).to_pylist():
            if row["metric"] in SIMILARITY_METRICS and row["valid"]:
                values.setdefault((row["method"], row["preset"], row["metric"]), []).append(row["value"])
    return tuple(
        MapSimilarity(
            *pair, *(np.array(values.get((*pair, metric), []), dtype=np.float64) for metric in SIMILARITY_METRICS)
        )
        for pair in pairs
    )


def read_columns(
    store: Store, outputs: Mapping[str, MetricOutput], several: bool = False
) -> dict[tuple[str, str], MetricColumn]:
    """Return all measurements by (metric, method), without curves except where values are pooled from them.

    Curves are most of a run's data, and only reports plot them.

    Args:
        store: The folder of the run.
        outputs: The metric outputs, by their name in the tables.
        several: Whether an image may have several targets.
    """
    names = ["index", "label", "method", "metric", "value", "valid", "curve", "error"]
    names += ["target_number", "predicted"] if several else []
    columns: dict[tuple[str, str], list[MetricColumn]] = {}
    for table in store.tables(names):
        measured = table.filter(table["error"].is_null()).to_pydict()
        rows: dict[tuple[str, str], list[int]] = {}
        for i, key in enumerate(zip(measured["metric"], measured["method"], strict=True)):
            if key[0] in outputs:
                rows.setdefault(key, []).append(i)
        for key, indices in rows.items():
            columns.setdefault(key, []).append(_column(measured, indices, outputs[key[0]].pool is not None))
    return {key: _concatenate(parts, outputs[key[0]]) for key, parts in columns.items()}


def read_curves(store: Store, metric: str, method: str) -> Floats | None:
    """Return the curves `(n, m)` of a metric for a method; None if the metric stores none."""
    curves: list[Any] = []
    for table in store.tables(["method", "metric", "curve"]):
        columns = table.filter(table["curve"].is_valid()).to_pydict()
        names = zip(columns["metric"], columns["method"], columns["curve"], strict=True)
        curves += [curve for name, explainer, curve in names if (name, explainer) == (metric, method)]
    return np.array(curves, dtype=np.float64) if curves else None


def read_curve_images(store: Store, metric: str, method: str) -> NDArray[np.int64]:
    """Return the indices `(n,)` of the images of the curves of `read_curves`."""
    images: list[int] = []
    for table in store.tables(["index", "method", "metric", "curve"]):
        columns = table.filter(table["curve"].is_valid()).to_pydict()
        names = zip(columns["metric"], columns["method"], columns["index"], strict=True)
        images += [index for name, explainer, index in names if (name, explainer) == (metric, method)]
    return np.array(images, dtype=np.int64)


def read_costs(store: Store, several: bool = False) -> dict[tuple[str, str], tuple[float, float]]:
    """Return forward passes and seconds per image, or per target of an image, by (method, metric or preset)."""
    totals: dict[tuple[str, str], list[float]] = {}
    images: dict[str, set[tuple[int, int]]] = {}
    names = ["index", "method", "metric", "preset", "forwards", "seconds"] + (["target_number"] if several else [])
    for table in store.tables(names):
        for row in table.to_pylist():
            if row["forwards"] is None:
                continue
            total = totals.setdefault((row["method"], row["preset"] or row["metric"]), [0.0, 0.0])
            total[0] += row["forwards"]
            total[1] += row["seconds"]
            images.setdefault(row["method"], set()).add((row["index"], row.get("target_number", 0)))
    return {key: (f / len(images[key[0]]), s / len(images[key[0]])) for key, (f, s) in totals.items()}


def _column(columns: Mapping[str, Sequence[Any]], rows: Sequence[int], with_curves: bool) -> MetricColumn:
    """Return the measurements of some rows of one part; maps that could not be scored are NaN."""

    def values_of(name: str) -> list[Any]:
        return [columns[name][i] for i in rows]

    valid = np.array(values_of("valid"), dtype=bool)
    index = np.array(values_of("index"), dtype=np.int64)
    several = "target_number" in columns
    labels = values_of("label")
    if several:
        index = index * MAX_TARGETS + np.array(values_of("target_number"), dtype=np.int64)
        # A target that agrees with no annotation, such as a false positive, belongs to its own class.
        labels = [label or own for label, own in zip(labels, values_of("predicted"), strict=True)]
    return MetricColumn(
        index,
        np.where(valid, np.array(values_of("value"), dtype=np.float64), np.nan),
        valid,
        np.array([label or "" for label in labels], dtype=object),
        np.array(values_of("curve"), dtype=np.float32) if with_curves else None,
        several,
    )


def _concatenate(parts: Sequence[MetricColumn], output: MetricOutput) -> MetricColumn:
    """Join the columns of all parts, and replace NaN by the metric's worst value unless it is descriptive."""
    values, valid = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "valid"))
    curves = [part.curves for part in parts if part.curves is not None]
    return MetricColumn(
        np.concatenate([part.index for part in parts]),
        values if output.better == "neither" else np.where(valid, values, output.worst),
        valid,
        np.concatenate([part.classes for part in parts]),
        np.concatenate(curves) if curves else None,
        parts[0].several,
    )
