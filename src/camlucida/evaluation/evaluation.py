"""The results of an evaluation: values by method and metric with intervals, comparisons, and agreement of metrics."""

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
from camlucida.evaluation.comparison import Agreement, Comparison, compare_values, holm_corrected, metric_agreement
from camlucida.evaluation.records import (
    EMPTY_COLUMN,
    Image,
    MapSimilarity,
    MetricColumn,
    Summary,
    aggregate,
    value_name,
)
from camlucida.evaluation.statistics import N_BOOTSTRAP, Floats, percentile_interval
from camlucida.evaluation.store import TARGET_POSITION, Store, has_target_columns
from camlucida.evaluation.tables import (
    read_columns,
    read_costs,
    read_curves,
    read_failures,
    read_images,
    read_map_similarities,
)
from camlucida.metrics import MetricOutput, Preset, find


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of `evaluate`, opened from its folder.

    Attributes:
        path: The folder.
    """

    path: Path

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What was measured, as stored in run.json."""
        return Store(self.path).plan

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Names of all explainers, methods before controls, in the requested order."""
        return tuple(entry["name"] for entry in self.plan["methods"])

    @cached_property
    def controls(self) -> frozenset[str]:
        """Names of the controls."""
        return frozenset(entry["name"] for entry in self.plan["methods"] if "control" in entry)

    @cached_property
    def images(self) -> Mapping[int, Image]:
        """All images that could be read, by their index in the data set.

        Where an image may have several targets, all targets of all images, by their `records.map_index`.
        """
        return read_images(Store(self.path), self.has_several_targets)

    @cached_property
    def has_several_targets(self) -> bool:
        """Whether an image may have several targets, such as boxes, regions or words."""
        return has_target_columns(self.plan)

    @cached_property
    def uninformative(self) -> tuple[str, ...]:
        """The controls without information about the object's location, which a method should outperform."""
        entries = [entry for entry in self.plan["methods"] if "control" in entry]
        return tuple(entry["name"] for entry in entries if entry["knows"] not in ("ground truth", TARGET_POSITION))

    @cached_property
    def presets(self) -> Mapping[str, Preset]:
        """The preset of each number, by the number's name in the tables."""
        presets = map(find, self.plan["metrics"])
        return {value_name(preset, value): preset for preset in presets for value in preset.metric.outputs}

    @cached_property
    def values(self) -> Mapping[str, MetricOutput]:
        """All measured numbers, by their name in the tables."""
        presets = map(find, self.plan["metrics"])
        return {
            value_name(preset, value): meaning for preset in presets for value, meaning in preset.metric.outputs.items()
        }

    @cached_property
    def failures(self) -> tuple[tuple[str, str, str], ...]:
        """(image, method, reason) for everything that could not be measured."""
        return read_failures(Store(self.path))

    @cached_property
    def map_similarities(self) -> tuple[MapSimilarity, ...]:
        """The similarities of the maps of the pairs of methods that the run compared."""
        return read_map_similarities(Store(self.path), self.compared_pairs)

    def same_maps(self, first: str, second: str) -> bool:
        """Return whether the run compared the maps of both methods and found them equal up to a positive factor."""
        return any(
            {similarity.first, similarity.second} == {first, second} and similarity.same_map
            for similarity in self.map_similarities
        )

    @property
    def compared_pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs of methods whose maps were compared with each other."""
        return tuple((first, second) for first, second in self.plan["compared"])

    def column(self, metric: str, method: str) -> MetricColumn:
        """Return the measurements of a metric for a method.

        Raises:
            MetricError: For an unknown metric or method.
        """
        for kind, name, known in (("metric", metric, self.values), ("method", method, self.methods)):
            if name not in known:
                raise MetricError(f"no {kind} {name!r} in this run.{nearest(name, known)} Known: {', '.join(known)}.")
        return self._columns.get((metric, method), EMPTY_COLUMN)

    @cached_property
    def _columns(self) -> dict[tuple[str, str], MetricColumn]:
        return read_columns(Store(self.path), self.values, self.has_several_targets)

    def curves(self, metric: str, method: str) -> Floats | None:
        """Return the curves `(n, m)` of a metric in the order of `column`; None if the metric stores none."""
        return read_curves(Store(self.path), metric, method)

    def summary(
        self,
        metric: str,
        method: str,
        *,
        indices: NDArray[np.int64] | None = None,
        draws: int = N_BOOTSTRAP,
        seed: int = 0,
    ) -> Summary:
        """Return the value of a method by a metric, with its interval.

        Args:
            metric: Name of the metric.
            method: Name of the method.
            indices: Restrict to these images, by their index in `images`; None for all.
            draws: Number of bootstrap resamples.
            seed: Seed of the bootstrap.
        """
        output, column = self.values[metric], self.column(metric, method)
        if indices is None:
            drawn = self._bootstrap.values(metric, method, draws, seed)
        else:
            column = column.select(indices)
            drawn = self._bootstrap.column_values(column, output, draws, seed)
        interval = percentile_interval(aggregate(column, output), drawn, column.n_images)
        return Summary(
            method,
            metric,
            interval.value,
            interval.low,
            interval.high,
            len(column.values),
            int((~column.valid).sum()),
            output.better,
            method in self.controls,
            column.n_images,
        )

    def table(self, **options: Any) -> list[Summary]:
        """Return the summaries of all methods by all metrics."""
        return [self.summary(metric, method, **options) for metric in self.values for method in self.methods]

    def compare(self, metric: str, first: str, second: str, *, draws: int = N_BOOTSTRAP, seed: int = 0) -> Comparison:
        """Compare two methods by one metric, paired by image.

        The p-value is not corrected for multiple comparisons; `comparisons` corrects for them.

        Args:
            metric: Name of the metric.
            first: The first method.
            second: The second method.
            draws: Number of bootstrap resamples.
            seed: Seed of the bootstrap.
        """
        output = self.values.get(metric, MetricOutput("neither"))
        columns = [self.column(metric, name) for name in (first, second)]
        indices_first, indices_second = (c.index[~np.isnan(c.values)] for c in columns)
        shared = np.intersect1d(indices_first, indices_second)
        shared_first, shared_second = (c.select(shared) for c in columns)
        drawn = [
            self._bootstrap.values(metric, name, draws, seed)
            if len(shared) == len(whole.values)
            else self._bootstrap.column_values(part, output, draws, seed)
            for name, whole, part in zip((first, second), columns, (shared_first, shared_second), strict=True)
        ]
        return compare_values(
            metric,
            (first, second),
            output.better,
            (shared_first.values, shared_second.values),
            (int((~shared_first.valid).sum()), int((~shared_second.valid).sum())),
            aggregate(shared_first, output) - aggregate(shared_second, output),
            drawn[0] - drawn[1],
            same_map=self.same_maps(first, second),
            over_images=output.pool is None
            and shared_first.n_images == len(shared)  # values of one image are not independent
            and (output.mean == "images" or bool(np.isin(shared_first.values, (0, 1)).all())),
            n_images=shared_first.n_images,
        )

    def comparisons(
        self, metrics: Sequence[str] | None = None, methods: Sequence[str] | None = None, **options: Any
    ) -> list[Comparison]:
        """Compare all pairs of methods by all metrics, with Holm's correction over all comparisons.

        Args:
            metrics: Names of the metrics; None for all. Descriptive metrics are left out.
            methods: Names of the methods; None for all except controls.
            **options: As for `compare`.
        """
        chosen = [m for m in self.methods if m not in self.controls] if methods is None else methods
        scoring = [m for m in metrics or self.values if self.values[m].better != "neither"]
        measured = {m: [c for c in chosen if len(self.column(m, c).values)] for m in scoring}
        pairs = [(metric, *pair) for metric in scoring for pair in combinations(measured[metric], 2)]
        return holm_corrected([self.compare(*pair, **options) for pair in pairs])

    def agreement(
        self,
        metrics: Sequence[str] | None = None,
        methods: Sequence[str] | None = None,
        *,
        draws: int = N_BOOTSTRAP,
        seed: int = 0,
    ) -> Agreement:
        """Compute how far metrics agree about the order of the methods.

        Args:
            metrics: Names of the metrics; None for all. Descriptive metrics are left out.
            methods: Names of the methods; None for all except controls.
            draws: Number of bootstrap resamples.
            seed: Seed of the bootstrap.
        """
        chosen = [m for m in self.methods if m not in self.controls] if methods is None else list(methods)
        scoring = [
            m
            for m in metrics or self.values
            if self.values[m].better != "neither" and all(len(self.column(m, method).values) for method in chosen)
        ]
        signs = np.array([-1.0 if self.values[m].better == "low" else 1.0 for m in scoring])[:, None]
        shape = (len(scoring), len(chosen))
        numbers = np.array([aggregate(self.column(m, c), self.values[m]) for m in scoring for c in chosen])
        drawn = np.array([self._bootstrap.values(m, c, draws, seed) for m in scoring for c in chosen])
        maps = np.full((len(self._bootstrap.maps), *shape), np.nan)
        for pair in np.ndindex(*shape):
            column = self.column(scoring[pair[0]], chosen[pair[1]])
            maps[(np.searchsorted(self._bootstrap.maps, column.index), *pair)] = column.values
        return metric_agreement(
            scoring,
            chosen,
            signs * numbers.reshape(shape),
            signs * np.moveaxis(drawn.reshape(*shape, draws), -1, 0),
            signs * maps,
            len(self._bootstrap.images),
        )

    @cached_property
    def _bootstrap(self) -> Bootstrap:
        return Bootstrap(self._columns, self.values)

    def bootstrap_values(self, metric: str, method: str, *, draws: int = N_BOOTSTRAP, seed: int = 0) -> Floats:
        """Return the value of a method in each bootstrap resample `(draws,)`, paired over methods and metrics."""
        self.column(metric, method)  # raises for unknown names
        return self._bootstrap.values(metric, method, draws, seed)

    def costs(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Return forward passes and seconds per image, or per target of an image, by (method, metric or preset)."""
        return read_costs(Store(self.path), self.has_several_targets)
