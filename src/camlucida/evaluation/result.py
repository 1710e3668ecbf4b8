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
    curves   (n, m) where the number is pooled from them, or None
    """

    index: NDArray[np.int64]
    values: Floats
    valid: NDArray[np.bool_]
    classes: NDArray[Any]
    curves: NDArray[np.floating[Any]] | None


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
        found: dict[tuple[str, str, str], None] = {}
        for table in Store(self.path).tables(["picture", "method", "error"]):
            failed = table.filter(table["error"].is_valid())
            for row in failed.to_pylist():
                found[row["picture"], row["method"] or "", row["error"]] = None
        return tuple(found)

    def cells(self, metric: str, method: str) -> Cells:
        """What was measured of `metric` by `method`; `MetricError` for names unknown."""
        for what, name, known in (("metric", metric, self.values), ("method", method, self.methods)):
            if name not in known:
                raise MetricError(f"no {what} {name!r} in this run.{nearest(name, known)} It has {', '.join(known)}.")
        return self._cells.get((metric, method), NOTHING)

    @cached_property
    def _cells(self) -> dict[tuple[str, str], Cells]:
        """Everything but curves that no number is pooled from: those are most of a run, and only reports draw them."""
        found: dict[tuple[str, str], list[Cells]] = {}
        pooled = {name for name, meaning in self.values.items() if meaning.pool}
        for table in Store(self.path).tables(
            ["index", "label", "method", "metric", "value", "valid", "curve", "error"]
        ):
            measured = table.filter(table["error"].is_null()).to_pydict()
            rows: dict[tuple[str, str], list[int]] = {}
            for i, key in enumerate(zip(measured["metric"], measured["method"], strict=True)):
                if key[0] in self.values:
                    rows.setdefault(key, []).append(i)
            for key, its in rows.items():
                found.setdefault(key, []).append(_cells(measured, its, key[0] in pooled))
        return {key: _joined(parts, self.values[key[0]]) for key, parts in found.items()}

    def curves(self, metric: str, method: str) -> Floats | None:
        """The curves (n, m) of a metric that keeps them, in the order of `cells`; None where it keeps none."""
        found: list[Any] = []
        for table in Store(self.path).tables(["method", "metric", "curve"]):
            columns = table.filter(table["curve"].is_valid()).to_pydict()
            names = zip(columns["metric"], columns["method"], columns["curve"], strict=True)
            found += [curve for of, by, curve in names if (of, by) == (metric, method)]
        return np.array(found, dtype=np.float64) if found else None

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


def _cells(columns: Mapping[str, Sequence[Any]], rows: Sequence[int], with_curves: bool) -> Cells:
    """The cells of some rows of one part; what could not be judged is NaN."""

    def of(name: str) -> list[Any]:
        return [columns[name][i] for i in rows]

    valid = np.array(of("valid"), dtype=bool)
    return Cells(
        np.array(of("index"), dtype=np.int64),
        np.where(valid, np.array(of("value"), dtype=np.float64), np.nan),
        valid,
        np.array([label or "" for label in of("label")], dtype=object),
        np.array(of("curve"), dtype=np.float32) if with_curves else None,
    )


def _joined(parts: Sequence[Cells], meaning: Value) -> Cells:
    values, valid = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "valid"))
    curves = [part.curves for part in parts if part.curves is not None]
    return Cells(
        np.concatenate([part.index for part in parts]),
        values if meaning.better == "neither" else np.where(valid, values, meaning.worst),
        valid,
        np.concatenate([part.classes for part in parts]),
        np.concatenate(curves) if curves else None,
    )


NOTHING = Cells(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=bool), np.empty(0, dtype=object), None)
"""Of a metric that could be asked of no picture."""


def _number(cells: Cells, meaning: Value, which: NDArray[np.int64]) -> float:
    """The number of some of the pictures, a picture as often as it is drawn."""
    if meaning.pool is not None:
        if cells.curves is None:
            return float("nan")
        return float(meaning.pool(torch.from_numpy(cells.curves[which]).double()))
    values = cells.values[which]
    if meaning.mean == "classes":
        classes = cells.classes[which]
        return float(np.mean([np.nanmean(values[classes == name]) for name in np.unique(classes)]))
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
