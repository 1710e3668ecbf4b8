"""Export of the answers as CSV."""

from __future__ import annotations

from camlucida._escaping import csv_text
from camlucida.user_study.study import Study

ANSWER_COLUMNS = ("person", "kind", "picture", "winner", "loser", "rating", "seconds")


def answers_csv(study: Study) -> str:
    """Return all answers as CSV, one per line, with the names of the methods.

    Args:
        study: The study.

    Returns:
        The text. For a rating, `winner` is the rated method.
    """
    return csv_text(
        ANSWER_COLUMNS,
        ((a.person, a.kind, a.image, a.winner, a.loser, a.rating or "", f"{a.seconds:.3f}") for a in study.answers()),
    )
