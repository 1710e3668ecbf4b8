"""Legible parts of a confusion matrix, and the images of its cells, by the model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlucida.analysis import Mistakes
from camlucida.analysis.confusion import MAX_BLOCK_CLASSES, Confusion
from camlucida.evaluation.store import Row
from camlucida.targets import class_label

MAX_COLUMNS = 26
"""Maximum number of columns."""
SPLIT = "\0"
"""Separates a class's name from its output, so that two classes of the same name stay distinct."""


@dataclass(frozen=True, eq=False)
class MatrixPart:
    """Some rows of the confusion matrix.

    Attributes:
        rows: Outputs of the model (label).
        columns: Outputs of the model (predicted).
        counts: Number of images, `(rows, columns)`.
        totals: Number of images of each class, `(rows,)`; the rest of a row is predicted as classes without a column.
        matching: The number of classes to page through; 0 for the block of the most confused classes.
    """

    rows: Sequence[int]
    columns: Sequence[int]
    counts: NDArray[np.int64]
    totals: NDArray[np.int64]
    matching: int


class ConfusionView:
    """The confusion matrix of a run, and the images of its cells.

    Args:
        mistakes: The error analysis; its judged rows are counted.
    """

    def __init__(self, mistakes: Mistakes) -> None:
        self.judged = mistakes.judged
        predicted = np.array([row["predicted_index"] for row in self.judged], dtype=np.int64)
        labels = np.array([matrix_row(row) for row in self.judged], dtype=np.int64)
        self.labels: tuple[str, ...] = tuple(mistakes.plan["labels"])
        top = int(max(predicted.max(initial=0), labels.max(initial=0))) + 1
        self.matrix = Confusion.of(labels, predicted, [f"{self.name(i)}{SPLIT}{i}" for i in range(top)])
        self._order = [_output(name) for name in self.matrix.names]
        self._at = {output: position for position, output in enumerate(self._order)}

    def name(self, output: int) -> str:
        """Return the name of an output of the model."""
        return class_label(output, self.labels)

    @property
    def count(self) -> int:
        """The number of classes that occur."""
        return len(self._order)

    def block(self, limit: int = MAX_BLOCK_CLASSES) -> MatrixPart:
        """Return the block of the most confused classes, or of all classes if they fit."""
        outputs = [_output(name) for name in self.matrix.block(limit).names]
        return self._part(outputs, outputs, 0)

    def page(self, find: str, offset: int, size: int = MAX_BLOCK_CLASSES) -> MatrixPart:
        """Return the classes whose name contains all words of `find`, lowest accuracy first.

        Args:
            find: Words to search for; empty for all classes.
            offset: The index of the first class.
            size: The number of classes.
        """
        words = find.lower().split()
        names = [c.name.partition(SPLIT)[0].lower() for c in self.matrix.classes()]
        outputs = [_output(c.name) for c in self.matrix.classes()]
        matching_outputs = [o for o, name in zip(outputs, names, strict=True) if all(word in name for word in words)]
        rows = matching_outputs[offset : offset + size]
        predicted_as = self.matrix.counts[[self._at[o] for o in rows]].sum(0)
        others = [
            self._order[i]
            for i in np.argsort(-predicted_as, kind="stable")
            if predicted_as[i] and self._order[i] not in rows
        ]
        return self._part(rows, [*rows, *others][:MAX_COLUMNS], len(matching_outputs))

    def pairs(self, n: int) -> list[tuple[int, int, int, int]]:
        """Return the most frequent confusions as (label, predicted output, count, total of the label)."""
        return [(_output(p.label), _output(p.predicted), p.count, p.total) for p in self.matrix.pairs(n)]

    def images(self, label: int, predicted: int) -> list[Row]:
        """Return the rows of a cell, the most confident first."""
        matching_rows = [row for row in self.judged if row["predicted_index"] == predicted and matrix_row(row) == label]
        return sorted(matching_rows, key=lambda row: (-row["confidence"], row["index"]))

    def _part(self, rows: Sequence[int], columns: Sequence[int], matching: int) -> MatrixPart:
        column_positions, row_positions = [self._at[o] for o in columns], [self._at[o] for o in rows]
        counts = self.matrix.counts[np.ix_(row_positions, column_positions)]
        return MatrixPart(rows, columns, counts, self.matrix.counts[row_positions].sum(1), matching)


def matrix_row(row: Row) -> int:
    """Return the matrix row of an image: for a correct prediction among several labels, the predicted one."""
    return int(row["predicted_index"] if row["correct"] else row["label_index"])


def _output(name: str) -> int:
    return int(name.rpartition(SPLIT)[2])
