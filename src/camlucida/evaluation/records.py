"""What an evaluation measured, picture by picture: the rows of its tables as values, and numbers computed from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida.evaluation.statistics import Floats, resampled_class_means, resampled_means
from camlucida.metrics import DatasetReduction, MetricOutput, Preset

SAME_MAP_TOLERANCE = 1e-3
"""Maps whose largest difference is below this share of their maximum are one map: about what float32 costs."""


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
class MetricColumn:
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

    def select(self, index: NDArray[np.int64]) -> MetricColumn:
        """Those of some of the pictures."""
        selected = np.isin(self.index, index)
        curves = None if self.curves is None else self.curves[selected]
        return MetricColumn(
            self.index[selected], self.values[selected], self.valid[selected], self.classes[selected], curves
        )


@dataclass(frozen=True)
class Image:
    """What is known of one picture, and what the model says about it."""

    index: int
    name: str
    label: str
    predicted: str
    target: str
    correct: bool | None
    confidence: float


@dataclass(frozen=True, eq=False)
class MapSimilarity:
    """How alike the maps of two methods were, picture by picture; pictures with a map of one value are left out.

    correlations   (n,) Spearman's, of the signed maps at the finer one's grid
    differences    (n,) the largest difference anywhere, each map divided by its own largest number
    """

    first: str
    second: str
    correlations: Floats
    differences: Floats

    @property
    def same_map(self) -> bool:
        """Whether they are the same map up to a positive factor, on every picture."""
        return bool(len(self.differences)) and bool((self.differences < SAME_MAP_TOLERANCE).all())


EMPTY_COLUMN = MetricColumn(
    np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=bool), np.empty(0, dtype=object), None
)
"""Of a metric that could be asked of no picture."""


def value_name(preset: Preset, value: str) -> str:
    """What a value is called in tables: by itself, or with the preset that it was measured by."""
    return value if preset.name == preset.metric.name else f"{preset.name}:{value}"


def column_of(columns: Mapping[str, Sequence[Any]], rows: Sequence[int], with_curves: bool) -> MetricColumn:
    """The cells of some rows of one part; what could not be judged is NaN."""

    def values_of(name: str) -> list[Any]:
        return [columns[name][i] for i in rows]

    valid = np.array(values_of("valid"), dtype=bool)
    return MetricColumn(
        np.array(values_of("index"), dtype=np.int64),
        np.where(valid, np.array(values_of("value"), dtype=np.float64), np.nan),
        valid,
        np.array([label or "" for label in values_of("label")], dtype=object),
        np.array(values_of("curve"), dtype=np.float32) if with_curves else None,
    )


def concatenate_columns(parts: Sequence[MetricColumn], output: MetricOutput) -> MetricColumn:
    values, valid = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "valid"))
    curves = [part.curves for part in parts if part.curves is not None]
    return MetricColumn(
        np.concatenate([part.index for part in parts]),
        values if output.better == "neither" else np.where(valid, values, output.worst),
        valid,
        np.concatenate([part.classes for part in parts]),
        np.concatenate(curves) if curves else None,
    )


def aggregate(column: MetricColumn, output: MetricOutput) -> float:
    """The number of all the pictures; NaN of none."""
    return (
        float(aggregate_draws(column, output, np.ones((1, len(column.values))))[0])
        if len(column.values)
        else float("nan")
    )


def aggregate_draws(column: MetricColumn, output: MetricOutput, drawn: Floats) -> Floats:
    """The numbers (draws,) of the pictures, each as often as it is drawn: (draws, n)."""
    if output.pool is not None:
        return _reduce_draws(column, output.pool, drawn)
    values = column.values[:, None]
    if output.mean == "classes":
        _, classes = np.unique(column.classes.astype(str), return_inverse=True)
        return resampled_class_means(drawn, values, classes)[:, 0]
    return resampled_means(drawn, values)[:, 0]


def _reduce_draws(column: MetricColumn, reduction: Callable[[Tensor], float], drawn: Floats) -> Floats:
    if column.curves is None:
        return np.full(len(drawn), np.nan)
    curves = torch.from_numpy(column.curves).double()
    if isinstance(reduction, DatasetReduction):
        weights = torch.from_numpy(drawn / drawn.sum(1, keepdims=True))
        values: Floats = reduction.from_mean(weights @ reduction.per_image(curves)).numpy()
        return values
    counts = torch.from_numpy(drawn.astype(np.int64))
    return np.array([reduction(curves.repeat_interleave(row, 0)) for row in counts], dtype=np.float64)


def is_plain_mean(output: MetricOutput) -> bool:
    return output.pool is None and output.mean == "pictures"
