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

COLUMNS = 26
"""Maximum number of columns."""
SPLIT = "\0"
"""Separates a class's name from its output, so that two classes of the same name stay distinct."""


@dataclass(frozen=True, eq=False)
class Part:
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


class Confused:
    """The confusion matrix of a run, and the images of its cells."""

    def __init__(self, found: Mistakes) -> None:
        self.found = found
        judged = found.judged
        said = np.array([row["predicted"] for row in judged], dtype=np.int64)
        truth = np.array([_stands(row) for row in judged], dtype=np.int64)
        self.labels: tuple[str, ...] = tuple(found.plan["labels"])
        top = int(max(said.max(initial=0), truth.max(initial=0))) + 1
        self.whole = Confusion.of(truth, said, [f"{self.name(i)}{SPLIT}{i}" for i in range(top)])
        self._order = [_output(name) for name in self.whole.names]
        self._at = {output: place for place, output in enumerate(self._order)}

    def name(self, output: int) -> str:
        """Return the name of an output of the model."""
        return class_label(output, self.labels)

    @property
    def count(self) -> int:
        """The number of classes that occur."""
        return len(self._order)

    def block(self, limit: int = MAX_BLOCK_CLASSES) -> Part:
        """Return the block of the most confused classes, or of all classes if they fit."""
        outputs = [_output(name) for name in self.whole.block(limit).names]
        return self._part(outputs, outputs, 0)

    def page(self, find: str, offset: int, size: int = MAX_BLOCK_CLASSES) -> Part:
        """Return the classes whose name contains all words of `find`, lowest accuracy first.

        Args:
            find: Words to search for; empty for all classes.
            offset: The index of the first class.
            size: The number of classes.
        """
        words = find.lower().split()
        names = [one.name.partition(SPLIT)[0].lower() for one in self.whole.classes()]
        outputs = [_output(one.name) for one in self.whole.classes()]
        matching_outputs = [o for o, name in zip(outputs, names, strict=True) if all(word in name for word in words)]
        rows = matching_outputs[offset : offset + size]
        taken = self.whole.counts[[self._at[o] for o in rows]].sum(0)
        others = [self._order[i] for i in np.argsort(-taken, kind="stable") if taken[i] and self._order[i] not in rows]
        return self._part(rows, [*rows, *others][:COLUMNS], len(matching_outputs))

    def pairs(self, n: int) -> list[tuple[int, int, int, int]]:
        """Return the most frequent confusions as (label, predicted output, count, total of the label)."""
        return [(_output(p.truth), _output(p.said), p.count, p.total) for p in self.whole.pairs(n)]

    def pictures(self, truth: int, said: int) -> list[Row]:
        """Return the rows of a cell, the most confident first."""
        matching_rows = [row for row in self.found.judged if row["predicted"] == said and _stands(row) == truth]
        return sorted(matching_rows, key=lambda row: (-row["confidence"], row["index"]))

    def _part(self, rows: Sequence[int], columns: Sequence[int], matching: int) -> Part:
        across, down = [self._at[o] for o in columns], [self._at[o] for o in rows]
        counts = self.whole.counts[np.ix_(down, across)]
        return Part(rows, columns, counts, self.whole.counts[down].sum(1), matching)


def _stands(row: Row) -> int:
    """Return the matrix row of an image: for a correct prediction among several labels, the predicted one."""
    return int(row["predicted"] if row["correct"] else row["truth"])


def _output(name: str) -> int:
    return int(name.rpartition(SPLIT)[2])
