"""What an evaluation found: numbers by method and metric, with intervals, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camlucida.errors import MetricError, nearest
from camlucida.evaluation.statistics import DRAWS, interval
from camlucida.evaluation.store import Store
from camlucida.metrics import Value, find

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """One number for a method over a data set.

    value     the mean, or the pooled number, with what could not be judged counted as worst
    low, high its 95 % interval: bootstrap over pictures
    n         pictures it was measured on
    invalid   how many of them could not be judged
    """

    method: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    invalid: int
    better: str
    control: bool


@dataclass(frozen=True, eq=False)
class Cells:
    """All that was measured of one metric by one method, in the order of the pictures.

    index    (n,) which pictures
    values   (n,) what could not be judged as worst
    valid    (n,)
    classes  (n,) the true class of each
    curves   (n, m), or None
    """

    index: NDArray[np.int64]
    values: Floats
    valid: NDArray[np.bool_]
    classes: NDArray[Any]
    curves: Floats | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A run of `evaluate`, opened from its folder."""

    path: Path

    @cached_property
    def plan(self) -> dict[str, Any]:
        return Store(self.path).plan

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """What made maps, methods first, in the order asked for."""
        return tuple(entry.get("method") or entry["control"] for entry in self.plan["methods"])

    @cached_property
    def controls(self) -> frozenset[str]:
        return frozenset(entry["control"] for entry in self.plan["methods"] if "control" in entry)

    @cached_property
    def values(self) -> Mapping[str, Value]:
        """Every number that was measured, by its name in the tables."""
        found = {}
        for name in self.plan["metrics"]:
            preset = find(name)
            for value, meaning in preset.metric.gives.items():
                found[value if name == preset.metric.name else f"{name}:{value}"] = meaning
        return found

    @cached_property
    def failures(self) -> tuple[tuple[str, str, str], ...]:
        """(picture, method, reason) of what could not be measured at all."""
        found = []
        for table in Store(self.path).tables(["picture", "method", "error"]):
            found += [
                (row["picture"], row["method"] or "", row["error"])
                for row in table.to_pylist()
                if row["error"] is not None
            ]
        return tuple(dict.fromkeys(found))

    def cells(self, metric: str, method: str) -> Cells:
        """What was measured of `metric` by `method`; `MetricError` for names unknown."""
        for what, name, known in (("metric", metric, self.values), ("method", method, self.methods)):
            if name not in known:
                raise MetricError(f"no {what} {name!r} in this run.{nearest(name, known)} It has {', '.join(known)}.")
        return self._cells.get((metric, method)) or _cells([], self.values[metric])

    @cached_property
    def _cells(self) -> dict[tuple[str, str], Cells]:
        rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        columns = ["index", "label", "method", "metric", "value", "valid", "curve", "error"]
        for table in Store(self.path).tables(columns):
            for row in table.to_pylist():
                if row["error"] is None and row["metric"] in self.values:
                    rows.setdefault((row["metric"], row["method"]), []).append(row)
        return {key: _cells(found, self.values[key[0]]) for key, found in rows.items()}

    def summary(self, metric: str, method: str, *, draws: int = DRAWS, seed: int = 0) -> Summary:
        """One cell of the table."""
        meaning, cells = self.values[metric], self.cells(metric, method)
        found = interval(lambda which: _number(cells, meaning, which), len(cells.values), draws=draws, seed=seed)
        return Summary(
            method,
            metric,
            found.value,
            found.low,
            found.high,
            len(cells.values),
            int((~cells.valid).sum()),
            meaning.better,
            method in self.controls,
        )

    def table(self, **how: Any) -> list[Summary]:
        """Every method by every metric."""
        return [self.summary(metric, method, **how) for metric in self.values for method in self.methods]

    def costs(self) -> dict[tuple[str, str], tuple[float, float]]:
        """(method, metric or preset) -> forwards and seconds a picture."""
        totals: dict[tuple[str, str], list[float]] = {}
        pictures: dict[str, set[int]] = {}
        for table in Store(self.path).tables(["index", "method", "metric", "preset", "forwards", "seconds"]):
            for row in table.to_pylist():
                if row["forwards"] is None:
                    continue
                total = totals.setdefault((row["method"], row["preset"] or row["metric"]), [0.0, 0.0])
                total[0] += row["forwards"]
                total[1] += row["seconds"]
                pictures.setdefault(row["method"], set()).add(row["index"])
        return {key: (f / len(pictures[key[0]]), s / len(pictures[key[0]])) for key, (f, s) in totals.items()}


def _cells(rows: Sequence[Mapping[str, Any]], meaning: Value) -> Cells:
    valid = np.array([bool(row["valid"]) for row in rows], dtype=bool)
    values = np.array([row["value"] if row["valid"] else np.nan for row in rows], dtype=np.float64)
    if meaning.better != "neither":
        values = np.where(valid, values, meaning.worst)
    curves = [row["curve"] for row in rows]
    whole = bool(rows) and all(curve is not None for curve in curves)
    return Cells(
        np.array([row["index"] for row in rows], dtype=np.int64),
        values,
        valid,
        np.array([row["label"] or "" for row in rows], dtype=object),
        np.array(curves, dtype=np.float64) if whole else None,
    )


def _number(cells: Cells, meaning: Value, which: NDArray[np.int64]) -> float:
    """The number of some of the pictures, a picture as often as it is drawn."""
    if meaning.pool is not None:
        if cells.curves is None:
            return float("nan")
        return float(meaning.pool(torch.from_numpy(cells.curves[which])))
    values = cells.values[which]
    if meaning.mean == "classes":
        classes = cells.classes[which]
        return float(np.mean([np.nanmean(values[classes == name]) for name in np.unique(classes)]))
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
