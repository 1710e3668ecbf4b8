"""Types that the responses about runs share."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from camlucida.app.analysis_runs import Run
from camlucida.app.schemas import Schema

RunId = Annotated[str, Query(min_length=2, max_length=60, pattern=r"^[rm][0-9a-f-]+$")]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Find = Annotated[str, Query(max_length=100)]


class Said(Schema):
    """An image and its prediction.

    Attributes:
        picture: Its id in this app; null if the run is about other images.
        truth: The output of its label; null if it has none.
        label: The name of its label.
        said: The name of the predicted class.
        rank: The rank of the label among all classes; null if unknown.
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
        """Return the prediction in a row of a run."""
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
    """An image that could not be read or evaluated, and the reason."""

    name: str
    reason: str
