"""An evaluation opened from its folder: numbers by method and metric with intervals, comparisons, agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.errors import MetricError, nearest
from camlucida.evaluation.bootstrap import Bootstrap
from camlucida.evaluation.comparing import Agreement, Comparison, agreed, compared, corrected
from camlucida.evaluation.records import (
    NOTHING,
    Cells,
    Likeness,
    Image,
    Summary,
    cells_of,
    joined,
    named,
    number_of,
)
from camlucida.evaluation.statistics import DRAWS, Floats, percentiles
from camlucida.evaluation.store import LIKENESS, Store
from camlucida.metrics import Preset, MetricOutput, find


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
        return tuple(entry["name"] for entry in self.plan["methods"])

    @cached_property
    def controls(self) -> frozenset[str]:
        return frozenset(entry["name"] for entry in self.plan["methods"] if "control" in entry)

    @cached_property
    def images(self) -> Mapping[int, Image]:
        """Every picture that could be read, by its number in the data set."""
        found: dict[int, Image] = {}
        names = ["index", "picture", "label", "predicted", "target", "correct", "confidence"]
        for table in Store(self.path).tables(names):
            for row in table.filter(table["predicted"].is_valid()).group_by(names).aggregate([]).to_pylist():
                index, image, label, *said = (row[name] for name in names)
                found[index] = Image(index, image, label or "", *said)
        return dict(sorted(found.items()))

    @cached_property
    def blind(self) -> tuple[str, ...]:
        """The controls that do not know where the object is: what a method has to be better than."""
        entries = [entry for entry in self.plan["methods"] if "control" in entry]
        return tuple(entry["name"] for entry in entries if entry["knows"] != "the truth")

    @cached_property
    def presets(self) -> Mapping[str, Preset]:
        """What gives each number, by the number's name in the tables."""
        return {
            named(preset, value): preset for preset in map(find, self.plan["metrics"]) for value in preset.metric.gives
        }

    @cached_property
    def values(self) -> Mapping[str, MetricOutput]:
        """Every number that was measured, by its name in the tables."""
        presets = map(find, self.plan["metrics"])
        return {named(preset, value): meaning for preset in presets for value, meaning in preset.metric.gives.items()}

    @cached_property
    def failures(self) -> tuple[tuple[str, str, str], ...]:
        """(picture, method, reason) of what could not be measured at all."""
        found: dict[tuple[str, str, str], None] = {}
        for table in Store(self.path).tables(["picture", "method", "error"]):
            failed = table.filter(table["error"].is_valid())
            for row in failed.to_pylist():
                found[row["picture"], row["method"] or "", row["error"]] = None
        return tuple(found)

    @cached_property
    def likenesses(self) -> tuple[Likeness, ...]:
        """How alike the maps of those methods were that the run was to compare map by map."""
        found: dict[tuple[str, str, str], list[float]] = {}
        for table in Store(self.path).tables(["method", "metric", "preset", "value", "valid"]) if self.compared else ():
            for row in table.filter(table["preset"].is_valid()).to_pylist():
                if row["metric"] in LIKENESS and row["valid"]:
                    found.setdefault((row["method"], row["preset"], row["metric"]), []).append(row["value"])
        return tuple(
            Likeness(*pair, *(np.array(found.get((*pair, metric), []), dtype=np.float64) for metric in LIKENESS))
            for pair in self.compared
        )

    def same(self, first: str, second: str) -> bool:
        """Whether the run compared their maps and found them equal up to a positive factor."""
        return any({alike.first, alike.second} == {first, second} and alike.same for alike in self.likenesses)

    @property
    def compared(self) -> tuple[tuple[str, str], ...]:
        return tuple((first, second) for first, second in self.plan["compared"])

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
                found.setdefault(key, []).append(cells_of(measured, its, key[0] in pooled))
        return {key: joined(parts, self.values[key[0]]) for key, parts in found.items()}

    def curves(self, metric: str, method: str) -> Floats | None:
        """The curves (n, m) of a metric that keeps them, in the order of `cells`; None where it keeps none."""
        found: list[Any] = []
        for table in Store(self.path).tables(["method", "metric", "curve"]):
            columns = table.filter(table["curve"].is_valid()).to_pydict()
            names = zip(columns["metric"], columns["method"], columns["curve"], strict=True)
            found += [curve for of, by, curve in names if (of, by) == (metric, method)]
        return np.array(found, dtype=np.float64) if found else None

    def summary(
        self,
        metric: str,
        method: str,
        *,
        only: NDArray[np.int64] | None = None,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> Summary:
        """One cell of the table; of `only` some of the pictures, by their numbers in the data set."""
        meaning, cells = self.values[metric], self.cells(metric, method)
        if only is None:
            drawn = self._bootstrap.numbers(metric, method, draws, seed)
        else:
            cells = cells.only(only)
            drawn = self._bootstrap.of_cells(cells, meaning, draws, seed)
        found = percentiles(number_of(cells, meaning), drawn)
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

    def compare(self, metric: str, first: str, second: str, *, draws: int = DRAWS, seed: int = 0) -> Comparison:
        """Two methods by one metric, paired by picture. Of many comparisons see `comparisons`: it corrects for them."""
        meaning = self.values.get(metric, MetricOutput("neither"))
        cells = [self.cells(metric, name) for name in (first, second)]
        of_first, of_second = (c.index[~np.isnan(c.values)] for c in cells)
        both = np.intersect1d(of_first, of_second)
        one, two = (c.only(both) for c in cells)
        drawn = [
            self._bootstrap.numbers(metric, name, draws, seed)
            if len(both) == len(whole.values)
            else self._bootstrap.of_cells(part, meaning, draws, seed)
            for name, whole, part in zip((first, second), cells, (one, two), strict=True)
        ]
        return compared(
            metric,
            (first, second),
            meaning.better,
            (one.values, two.values),
            (int((~one.valid).sum()), int((~two.valid).sum())),
            number_of(one, meaning) - number_of(two, meaning),
            drawn[0] - drawn[1],
            same=self.same(first, second),
            over_images=meaning.pool is None
            and (meaning.mean == "pictures" or bool(np.isin(one.values, (0, 1)).all())),
        )

    def comparisons(
        self, metrics: Sequence[str] | None = None, methods: Sequence[str] | None = None, **how: Any
    ) -> list[Comparison]:
        """Every two methods (not controls) by every metric that says which way is good, Holm-corrected together."""
        chosen = [m for m in self.methods if m not in self.controls] if methods is None else methods
        judging = [m for m in metrics or self.values if self.values[m].better != "neither"]
        measured = {m: [c for c in chosen if len(self.cells(m, c).values)] for m in judging}
        pairs = [(metric, *pair) for metric in judging for pair in combinations(measured[metric], 2)]
        return corrected([self.compare(*pair, **how) for pair in pairs])

    def agreement(
        self,
        metrics: Sequence[str] | None = None,
        methods: Sequence[str] | None = None,
        *,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> Agreement:
        """How far metrics put the methods (not controls, unless named) in the same order."""
        chosen = [m for m in self.methods if m not in self.controls] if methods is None else list(methods)
        judging = [
            m
            for m in metrics or self.values
            if self.values[m].better != "neither" and all(len(self.cells(m, method).values) for method in chosen)
        ]
        signs = np.array([-1.0 if self.values[m].better == "low" else 1.0 for m in judging])[:, None]
        shape = (len(judging), len(chosen))
        numbers = np.array([number_of(self.cells(m, c), self.values[m]) for m in judging for c in chosen])
        drawn = np.array([self._bootstrap.numbers(m, c, draws, seed) for m in judging for c in chosen])
        images = np.full((len(self._bootstrap.images), *shape), np.nan)
        for place in np.ndindex(*shape):
            cells = self.cells(judging[place[0]], chosen[place[1]])
            images[(np.searchsorted(self._bootstrap.images, cells.index), *place)] = cells.values
        return agreed(
            judging,
            chosen,
            signs * numbers.reshape(shape),
            signs * np.moveaxis(drawn.reshape(*shape, draws), -1, 0),
            signs * images,
        )

    @cached_property
    def _bootstrap(self) -> Bootstrap:
        return Bootstrap(self._cells, self.values)

    def drawn(self, metric: str, method: str, *, draws: int = DRAWS, seed: int = 0) -> Floats:
        """(draws,) the number of a method each time the pictures are drawn again: paired over methods and metrics."""
        self.cells(metric, method)  # refuses unknown names
        return self._bootstrap.numbers(metric, method, draws, seed)

    def costs(self) -> dict[tuple[str, str], tuple[float, float]]:
        """(method, metric or preset) -> forwards and seconds a picture."""
        totals: dict[tuple[str, str], list[float]] = {}
        images: dict[str, set[int]] = {}
        for table in Store(self.path).tables(["index", "method", "metric", "preset", "forwards", "seconds"]):
            for row in table.to_pylist():
                if row["forwards"] is None:
                    continue
                total = totals.setdefault((row["method"], row["preset"] or row["metric"]), [0.0, 0.0])
                total[0] += row["forwards"]
                total[1] += row["seconds"]
                images.setdefault(row["method"], set()).add(row["index"])
        return {key: (f / len(images[key[0]]), s / len(images[key[0]])) for key, (f, s) in totals.items()}
