"""What the answers about runs share."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from camlucida.app.analysis_runs import Run
from camlucida.app.schemas import Schema

RunId = Annotated[str, Query(min_length=2, max_length=60, pattern=r"^[rm][0-9a-f-]+$")]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Find = Annotated[str, Query(max_length=100)]


class Said(Schema):
    """A picture, and what the model said about it.

    picture  its id on this page; null where the run is about other pictures
    truth    output of its true class, null where it has none; `label` its name
    rank     of the true class among all; null where that is not known
    """

    picture: str | None
    name: str
    label: str | None
    said: str
    truth: int | None
    predicted: int
    correct: bool | None
    confidence: float
    rank: int | None = None

    @classmethod
    def of(cls, run: Run, row: dict[str, Any]) -> Said:
        return cls(
            picture=f"s{row['index']}" if run.shows else None,
            name=row["picture"],
            label=row["label"],
            said=row["said"],
            truth=row["truth"],
            predicted=row["predicted"],
            correct=row["correct"],
            confidence=row["confidence"],
            rank=row.get("rank"),
        )


class Failed(Schema):
    """A picture that could not be read or run, and why."""

    name: str
    reason: str
