"""Which classes are taken for which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.evaluation.statistics import CONFIDENCE_LEVEL, Interval

MAX_BLOCK_CLASSES = 20
"""Classes in a matrix that can be read."""


@dataclass(frozen=True)
class Pair:
    """`count` of the `total` pictures of `truth` are taken for `said`."""

    truth: str
    said: str
    count: int
    total: int


@dataclass(frozen=True)
class ClassAccuracy:
    """How one class fares.

    n          pictures of it
    accuracy   of them, right; with Wilson's interval (1927)
    precision  of those taken for it, right; NaN where nothing is taken for it
    """

    name: str
    n: int
    accuracy: Interval
    precision: float


@dataclass(frozen=True, eq=False)
class Confusion:
    """counts (m, m): pictures of the class of the row that are taken for that of the column.

    A picture whose prediction is one of several classes that are right stands at that class.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]) -> Confusion:
        """Of outputs by number (n,); `names` of all outputs. Classes that neither occur nor are named are left out."""
        classes, indices = np.unique(np.concatenate([labels, predicted]), return_inverse=True)
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(counts, (indices[: len(labels)], indices[len(labels) :]), 1)
        return cls(tuple(names[i] if i < len(names) else f"class {i}" for i in classes), counts)

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    @property
    def n_correct(self) -> int:
        return int(np.trace(self.counts))

    @property
    def off_diagonal(self) -> NDArray[np.int64]:
        """The counts without the diagonal."""
        return self.counts - np.diag(np.diag(self.counts))

    def pairs(self, n: int | None = None) -> list[Pair]:
        """The pairs most often confused, truth first; of equals the larger share of its class first, then by name."""
        totals = self.counts.sum(1)
        pairs = [
            Pair(self.names[a], self.names[b], int(self.counts[a, b]), int(totals[a]))
            for a, b in zip(*np.nonzero(self.off_diagonal), strict=True)
        ]
        pairs.sort(key=lambda pair: (-pair.count, -pair.count / pair.total, pair.truth, pair.said))
        return pairs[:n]

    def block(self, max_classes: int = MAX_BLOCK_CLASSES) -> Confusion:
        """At most `limit` classes: those of the most confused pairs, confused ones side by side; all if they fit."""
        if len(self.names) <= max_classes:
            return self
        chosen: list[str] = []
        for pair in self.pairs():
            added = [name for name in (pair.truth, pair.said) if name not in chosen]
            if len(chosen) + len(added) > max_classes:
                break
            positions = [i for i, name in enumerate(chosen) if name in (pair.truth, pair.said)]
            chosen[positions[0] + 1 if positions else len(chosen) :] = (
                added + chosen[positions[0] + 1 :] if positions else added
            )
        indices = [self.names.index(name) for name in chosen]
        return Confusion(tuple(chosen), self.counts[np.ix_(indices, indices)])

    def classes(self) -> list[ClassAccuracy]:
        """Every class that has pictures, the worst first."""
        rows, columns, hits = self.counts.sum(1), self.counts.sum(0), np.diag(self.counts)
        accuracies = [
            ClassAccuracy(
                self.names[i],
                int(rows[i]),
                wilson_interval(int(hits[i]), int(rows[i])),
                float(hits[i] / columns[i]) if columns[i] else math.nan,
            )
            for i in np.flatnonzero(rows)
        ]
        return sorted(accuracies, key=lambda each: (each.accuracy.value, -each.n, each.name))


def wilson_interval(hits: int, n: int, level: float = CONFIDENCE_LEVEL) -> Interval:
    """A share of hits with its interval by Wilson (1927): holds also for few pictures, and for all or none right."""
    if not n:
        return Interval(math.nan, math.nan, math.nan)
    z = float(need("scipy.stats", extra="analysis", what="an interval").norm.isf((1 - level) / 2))
    rate, weight = hits / n, z * z / n
    middle, half = rate + weight / 2, z * math.sqrt(rate * (1 - rate) / n + weight / n / 4)
    low, high = (middle - half) / (1 + weight), (middle + half) / (1 + weight)
    return Interval(rate, max(0.0, low) if hits else 0.0, min(1.0, high) if hits < n else 1.0)
