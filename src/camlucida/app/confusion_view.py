"""Parts of a confusion matrix that can be read, and the pictures of its cells, by the model's outputs."""

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
"""Classes side by side at most."""
SPLIT = "\0"
"""Between a class's name and its output, so that two classes of one name stay two."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of the matrix.

    rows, columns  outputs of the model
    counts         (rows, columns)
    totals         (rows,) all pictures of the class; what is missing in `counts` is taken for classes not shown
    matching       how many classes there are to page through; 0 for the block of the most confused
    """

    rows: Sequence[int]
    columns: Sequence[int]
    counts: NDArray[np.int64]
    totals: NDArray[np.int64]
    matching: int


class Confused:
    """The matrix of a run, and which pictures stand where."""

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
        return class_label(output, self.labels)

    @property
    def count(self) -> int:
        """Classes that occur or are named."""
        return len(self._order)

    def block(self, limit: int = MAX_BLOCK_CLASSES) -> Part:
        """The classes confused most, side by side; all where they fit."""
        outputs = [_output(name) for name in self.whole.block(limit).names]
        return self._part(outputs, outputs, 0)

    def page(self, find: str, offset: int, size: int = MAX_BLOCK_CLASSES) -> Part:
        """Classes whose name has all words of `find`, the worst first, with those that they are taken for."""
        words = find.lower().split()
        names = [one.name.partition(SPLIT)[0].lower() for one in self.whole.classes()]
        outputs = [_output(one.name) for one in self.whole.classes()]
        those = [o for o, name in zip(outputs, names, strict=True) if all(word in name for word in words)]
        rows = those[offset : offset + size]
        taken = self.whole.counts[[self._at[o] for o in rows]].sum(0)
        others = [self._order[i] for i in np.argsort(-taken, kind="stable") if taken[i] and self._order[i] not in rows]
        return self._part(rows, [*rows, *others][:COLUMNS], len(those))

    def pairs(self, n: int) -> list[tuple[int, int, int, int]]:
        """The pairs most often confused: truth and what it is taken for, how many, of how many."""
        return [(_output(p.truth), _output(p.said), p.count, p.total) for p in self.whole.pairs(n)]

    def pictures(self, truth: int, said: int) -> list[Row]:
        """Those of a cell, the surest first."""
        those = [row for row in self.found.judged if row["predicted"] == said and _stands(row) == truth]
        return sorted(those, key=lambda row: (-row["confidence"], row["index"]))

    def _part(self, rows: Sequence[int], columns: Sequence[int], matching: int) -> Part:
        across, down = [self._at[o] for o in columns], [self._at[o] for o in rows]
        counts = self.whole.counts[np.ix_(down, across)]
        return Part(rows, columns, counts, self.whole.counts[down].sum(1), matching)


def _stands(row: Row) -> int:
    """In which row of the matrix: a picture whose answer is one of several right ones stands at that one."""
    return int(row["predicted"] if row["correct"] else row["truth"])


def _output(name: str) -> int:
    return int(name.rpartition(SPLIT)[2])
