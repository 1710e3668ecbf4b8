"""Bootstrap values of an evaluation: all methods and metrics use the same resamples of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.records import EMPTY_COLUMN, MAX_TARGETS, MetricColumn, aggregate_draws, is_plain_mean
from camlucida.evaluation.statistics import MAX_NUMBERS, Floats, resampled_means, resamples
from camlucida.metrics import MetricOutput


class Bootstrap:
    """Resamples of the images of one evaluation, with cached values.

    Args:
        columns: The measurements, by (metric, method).
        outputs: The metric outputs, by their name in the tables.
    """

    def __init__(self, columns: Mapping[tuple[str, str], MetricColumn], outputs: Mapping[str, MetricOutput]) -> None:
        self._columns, self._outputs = columns, outputs
        self._numbers: dict[tuple[str, str, int, int], Floats] = {}
        self._draws: dict[tuple[int, int], list[Floats]] = {}

    @cached_property
    def images(self) -> NDArray[np.int64]:
        """The sorted indices of all images with any measurement, which are resampled."""
        return np.unique(np.concatenate([EMPTY_COLUMN.index, *(column.images for column in self._columns.values())]))

    @cached_property
    def maps(self) -> NDArray[np.int64]:
        """The sorted indices of all images, or of all targets of the images, with any measurement."""
        return np.unique(np.concatenate([EMPTY_COLUMN.index, *(column.index for column in self._columns.values())]))

    def values(self, metric: str, method: str, draws: int, seed: int) -> Floats:
        """Return the value of a metric for a method in every resample: `(draws,)`, NaN without measurements."""
        key = (metric, method, draws, seed)
        if key not in self._numbers and is_plain_mean(self._outputs[metric]) and (metric, method) in self._columns:
            self._draw_means(draws, seed)
        if key not in self._numbers:
            column = self._columns.get((metric, method), EMPTY_COLUMN)
            self._numbers[key] = self.column_values(column, self._outputs[metric], draws, seed)
        return self._numbers[key]

    def column_values(self, column: MetricColumn, output: MetricOutput, draws: int, seed: int) -> Floats:
        """Return the value of a column in every resample of all images: `(draws,)`."""
        if not len(column.values):
            return np.full(draws, np.nan)
        positions = np.searchsorted(self.images, column.images)
        n_chunks = max(1, len(column.index) // max(1, column.n_images))  # as much memory as with one map per image
        parts = [
            aggregate_draws(column, output, chunk[:, positions])
            for drawn in self._resamples(draws, seed)
            for chunk in np.array_split(drawn, n_chunks)
        ]
        return np.concatenate(parts)

    def _draw_means(self, draws: int, seed: int) -> None:
        """Compute the resampled values of all plain means with one matrix product."""
        plain = [key for key in self._columns if is_plain_mean(self._outputs[key[0]])]
        if not plain:
            return
        values = np.full((len(self.maps), len(plain)), np.nan)
        for i, key in enumerate(plain):
            column = self._columns[key]
            values[np.searchsorted(self.maps, column.index), i] = column.values
        several = self._columns[plain[0]].several
        positions = np.searchsorted(self.images, self.maps // MAX_TARGETS) if several else None
        means = [resampled_means(drawn, values, positions) for drawn in self._resamples(draws, seed)]
        for key, drawn_values in zip(plain, np.concatenate(means).T, strict=True):
            self._numbers[(*key, draws, seed)] = drawn_values

    def _resamples(self, draws: int, seed: int) -> Iterable[Floats]:
        """Return the resamples of images, cached if they are small."""
        if draws * len(self.images) > MAX_NUMBERS:
            return resamples(len(self.images), draws, seed)
        if (draws, seed) not in self._draws:
            self._draws[draws, seed] = list(resamples(len(self.images), draws, seed))
        return self._draws[draws, seed]
