"""Answers as a table that other programs read."""

from __future__ import annotations

from camlucida._escaping import csv_text
from camlucida.user_study.study import Study

ANSWER_COLUMNS = ("person", "kind", "picture", "winner", "loser", "rating", "seconds")


def answers_csv(study: Study) -> str:
    """Everything that was said, one answer a line, by the methods' names. Of a rating `winner` is the method rated."""
    return csv_text(
        ANSWER_COLUMNS,
        ((a.person, a.kind, a.image, a.winner, a.loser, a.rating or "", f"{a.seconds:.3f}") for a in study.answers()),
    )
