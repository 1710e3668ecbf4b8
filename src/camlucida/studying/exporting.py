"""Answers as a table that other programs read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from camlucida.studying.store import Study

ANSWERS = ("person", "kind", "picture", "winner", "loser", "rating", "seconds")


def written(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV."""
    lines = io.StringIO(newline="")
    writer = csv.writer(lines)
    writer.writerow(header)
    writer.writerows(rows)
    return lines.getvalue()


def answers_csv(study: Study) -> str:
    """Everything that was said, one answer a line, by the methods' names. Of a rating `winner` is the method rated."""
    return written(
        ANSWERS,
        ((a.person, a.kind, a.picture, a.winner, a.loser, a.rating or "", f"{a.seconds:.3f}") for a in study.answers()),
    )
