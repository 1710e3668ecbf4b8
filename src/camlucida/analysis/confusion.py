"""Confusion matrices and per-class accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.evaluation.statistics import CONFIDENCE_LEVEL, Interval

MAX_BLOCK_CLASSES = 20
"""Maximum number of classes in a matrix that remains legible."""


@dataclass(frozen=True)
class Pair:
    """Two confused classes: `count` of the `total` images labelled `label` are predicted as `predicted`."""

    label: str
    predicted: str
    count: int
    total: int


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy and precision of one class.

    Attributes:
        name: Name of the class.
        n: Number of images with this label.
        accuracy: Fraction of these images that are predicted correctly (recall), with Wilson's interval (1927).
        precision: Fraction of the images predicted as this class that carry this label; NaN if there are none.
    """

    name: str
    n: int
    accuracy: Interval
    precision: float


@dataclass(frozen=True, eq=False)
class Confusion:
    """A confusion matrix.

    If several classes of an image count as correct and one of them is predicted, the image is counted as labelled with
    the predicted class.

    Attributes:
        names: Names of the m classes.
        counts: Number of images `(m, m)` by label (row) and predicted class (column).
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]) -> Confusion:
        """Build the matrix of a set of predictions.

        Classes that are neither a label nor a prediction of any image are left out.

        Args:
            labels: Index of the label among the model's outputs `(n,)`.
            predicted: Index of the predicted class `(n,)`.
            names: Names of all outputs of the model.

        Returns:
            The matrix of the classes that occur.
        """
        classes, indices = np.unique(np.concatenate([labels, predicted]), return_inverse=True)
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(counts, (indices[: len(labels)], indices[len(labels) :]), 1)
        return cls(tuple(names[i] if i < len(names) else f"class {i}" for i in classes), counts)

    @property
    def total(self) -> int:
        """Return the number of images."""
        return int(self.counts.sum())

    @property
    def n_correct(self) -> int:
        """Return the number of correct predictions."""
        return int(np.trace(self.counts))

    @property
    def off_diagonal(self) -> NDArray[np.int64]:
        """Return the counts with zeros on the diagonal."""
        return self.counts - np.diag(np.diag(self.counts))

    def pairs(self, n: int | None = None) -> list[Pair]:
        """Return the most frequently confused pairs of classes, label first.

        Pairs of equal count are sorted by their fraction of the class, then by name.

        Args:
            n: Maximum number of pairs; None for all.

        Returns:
            The pairs, most frequent first.
        """
        totals = self.counts.sum(1)
        pairs = [
            Pair(self.names[a], self.names[b], int(self.counts[a, b]), int(totals[a]))
            for a, b in zip(*np.nonzero(self.off_diagonal), strict=True)
        ]
        pairs.sort(key=lambda pair: (-pair.count, -pair.count / pair.total, pair.label, pair.predicted))
        return pairs[:n]

    def block(self, max_classes: int = MAX_BLOCK_CLASSES) -> Confusion:
        """Return the submatrix of the most confused pairs, with confused classes next to each other.

        Args:
            max_classes: Maximum number of classes. A matrix with no more than these is returned as it is.

        Returns:
            A matrix of at most `max_classes` classes.
        """
        if len(self.names) <= max_classes:
            return self
        chosen: list[str] = []
        for pair in self.pairs():
            added = [name for name in (pair.label, pair.predicted) if name not in chosen]
            if len(chosen) + len(added) > max_classes:
                break
            positions = [i for i, name in enumerate(chosen) if name in (pair.label, pair.predicted)]
            chosen[positions[0] + 1 if positions else len(chosen) :] = (
                added + chosen[positions[0] + 1 :] if positions else added
            )
        indices = [self.names.index(name) for name in chosen]
        return Confusion(tuple(chosen), self.counts[np.ix_(indices, indices)])

    def classes(self) -> list[ClassAccuracy]:
        """Return accuracy and precision of every class that occurs as a label, lowest accuracy first."""
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


def wilson_interval(hits: float, n: float, level: float = CONFIDENCE_LEVEL) -> Interval:
    """Return a proportion with Wilson's score interval (1927), which holds for small samples and for 0 % and 100 %.

    Args:
        hits: Number of successes.
        n: Number of trials; an effective number where trials depend on each other.
        level: Confidence level.

    Returns:
        The proportion and its interval; NaN for `n` = 0.
    """
    if not n:
        return Interval(math.nan, math.nan, math.nan)
    z = float(need("scipy.stats", extra="analysis", what="a confidence interval").norm.isf((1 - level) / 2))
    rate, weight = hits / n, z * z / n
    middle, half = rate + weight / 2, z * math.sqrt(rate * (1 - rate) / n + weight / n / 4)
    low, high = (middle - half) / (1 + weight), (middle + half) / (1 + weight)
    return Interval(rate, max(0.0, low) if hits else 0.0, min(1.0, high) if hits < n else 1.0)
