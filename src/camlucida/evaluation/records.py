"""Records of an evaluation: the measurements of its tables, and the data set values computed from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida.evaluation.statistics import Floats, resampled_class_means, resampled_means
from camlucida.metrics import DatasetReduction, MetricOutput, Preset

MAX_TARGETS = 4096
"""Largest number of targets of one image, of which detectors, segmentation networks and captions have far fewer."""

SAME_MAP_TOLERANCE = 1e-3
"""Maps whose largest difference is below this fraction of their maximum are equal up to float32 rounding."""


@dataclass(frozen=True)
class Summary:
    """The value of a method by a metric over a data set.

    Attributes:
        method: Name of the method.
        metric: Name of the metric.
        value: The mean or pooled value; maps that could not be scored count as the worst value.
        low: Lower end of the 95 % bootstrap interval over images; NaN for fewer than four images.
        high: Upper end of the 95 % bootstrap interval over images; NaN for fewer than four images.
        n: Number of measured maps: one per image, or per target of an image.
        invalid: Number of maps that could not be scored.
        better: Whether high or low values are better, or neither.
        control: Whether the method is a control.
        n_images: Number of measured images.
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
    n_images: int = 0


@dataclass(frozen=True, eq=False)
class MetricColumn:
    """All measurements of one metric for one method, in the order of the images.

    Attributes:
        index: `(n,)` indices of the images; where an image may have several targets, those of `map_index`.
        values: `(n,)` the values; maps that could not be scored have the worst value.
        valid: `(n,)` whether the map could be scored.
        classes: `(n,)` the true class of each image.
        curves: `(n, m)` the vectors from which the value is pooled, or None.
        several: Whether an image may have several targets.
    """

    index: NDArray[np.int64]
    values: Floats
    valid: NDArray[np.bool_]
    classes: NDArray[Any]
    curves: NDArray[np.floating[Any]] | None
    several: bool = False

    @property
    def images(self) -> NDArray[np.int64]:
        """The indices `(n,)` of the images in the data set."""
        return self.index // MAX_TARGETS if self.several else self.index

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(np.unique(self.images))

    def select(self, index: NDArray[np.int64]) -> MetricColumn:
        """Return the measurements of the images, or of their targets, with the given indices."""
        selected = np.isin(self.index, index)
        curves = None if self.curves is None else self.curves[selected]
        return MetricColumn(
            self.index[selected],
            self.values[selected],
            self.valid[selected],
            self.classes[selected],
            curves,
            self.several,
        )


@dataclass(frozen=True)
class Image:
    """One image of an evaluation, with its label and the model's prediction; or one of its targets.

    Attributes:
        index: Index of the image in the data set; that of `map_index` where an image may have several targets.
        name: Name of the image.
        label: Its class, or that of the annotation that the target agrees with.
        predicted: The predicted class, or the one that the target's class scores predict.
        target: What is explained.
        correct: Whether the prediction is correct; for a box, a region or a word, whether an annotation agrees.
        confidence: Probability of the predicted class.
        image: Index of the image in the data set.
        target_spec: What `explain` takes for the target; empty where it is a class of the whole image.
        region: Which region of the image the metrics use.
        region_box: The box around the region, in pixels of the image; None without one.
    """

    index: int
    name: str
    label: str
    predicted: str
    target: str
    correct: bool | None
    confidence: float
    image: int = -1
    target_spec: str = ""
    region: str = ""
    region_box: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class MapSimilarity:
    """Similarity of the maps of two methods, per image; images with a constant map are left out.

    Attributes:
        first: The first method.
        second: The second method.
        correlations: `(n,)` Spearman's correlation of the signed maps at the finer of both resolutions.
        differences: `(n,)` the largest absolute difference after each map is divided by its largest absolute value.
    """

    first: str
    second: str
    correlations: Floats
    differences: Floats

    @property
    def same_map(self) -> bool:
        """Whether the maps are equal up to a positive factor on every image."""
        return bool(len(self.differences)) and bool((self.differences < SAME_MAP_TOLERANCE).all())


EMPTY_COLUMN = MetricColumn(
    np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=bool), np.empty(0, dtype=object), None
)
"""The column of a metric that was measured on no image."""


def map_index(image: int, target_number: int) -> int:
    """Return the index of one target of an image, which no target of another image has."""
    return image * MAX_TARGETS + target_number


def value_name(preset: Preset, value: str) -> str:
    """Return the name of a value in tables, with the preset as a prefix if there is one."""
    return value if preset.name == preset.metric.name else f"{preset.name}:{value}"


def aggregate(column: MetricColumn, output: MetricOutput) -> float:
    """Compute the data set value of a column; NaN for an empty one."""
    return (
        float(aggregate_draws(column, output, np.ones((1, len(column.values))))[0])
        if len(column.values)
        else float("nan")
    )


def aggregate_draws(column: MetricColumn, output: MetricOutput, drawn: Floats) -> Floats:
    """Compute the data set values `(draws,)` of a column for bootstrap counts `(draws, n)`; NaN for empty resamples."""
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
    values = np.full(len(drawn), np.nan)
    occupied = drawn.any(1)  # a resample of all images may contain none of a small group
    drawn = drawn[occupied]
    if isinstance(reduction, DatasetReduction):
        weights = torch.from_numpy(drawn / drawn.sum(1, keepdims=True))
        values[occupied] = reduction.from_mean(weights @ reduction.per_image(curves)).numpy()
    else:
        counts = torch.from_numpy(drawn.astype(np.int64))
        values[occupied] = [reduction(curves.repeat_interleave(row, 0)) for row in counts]
    return values


def is_plain_mean(output: MetricOutput) -> bool:
    """Return whether the data set value is the plain mean over images."""
    return output.pool is None and output.mean == "images"
