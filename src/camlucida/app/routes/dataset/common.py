"""Types that the responses about runs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from camlucida.app.analysis_run import Run
from camlucida.app.schemas import Schema
from camlucida.evaluation.store import Row

MAX_ROWS = 50
"""Maximum number of rows in one response."""

RunId = Annotated[str, Query(min_length=2, max_length=60, pattern=r"^[rm][0-9a-f-]+$")]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
SubsetId = Annotated[str, Query(max_length=16, pattern=r"^[0-9a-f]*$")]
"""A subset of the run, by the id that POST /api/dataset/subset returns; empty for all images."""
Find = Annotated[str, Query(max_length=100)]


class RowPrediction(Schema):
    """An image and its prediction.

    Attributes:
        image: Its id in this app; null if the run is about other images.
        label: The name of its label.
        label_index: The output of its label; null if it has none.
        predicted: The name of the predicted class.
        predicted_index: The output of the predicted class.
        rank: The rank of the label among all classes; null if unknown.
    """

    image: str | None
    name: str
    label: str | None
    label_index: int | None
    predicted: str
    predicted_index: int
    correct: bool | None
    confidence: float
    rank: int | None = None

    @classmethod
    def of(cls, run: Run, row: dict[str, Any]) -> RowPrediction:
        """Return the prediction in a row of a run."""
        return cls(
            image=f"s{row['index']}" if run.has_images else None,
            name=row["image"],
            label=row["label"],
            label_index=row["label_index"],
            predicted=row["predicted"],
            predicted_index=row["predicted_index"],
            correct=row["correct"],
            confidence=row["confidence"],
            rank=row.get("rank"),
        )


class Failed(Schema):
    """An image that could not be read or evaluated, and the reason."""

    name: str
    reason: str


class RowPredictionList(Schema):
    """Some of `total` images, from `offset`."""

    items: list[RowPrediction]
    total: int
    offset: int

    @classmethod
    def page(cls, run: Run, rows: Sequence[Row], offset: int, n: int) -> RowPredictionList:
        """Return the predictions of `n` rows from `offset` on."""
        items = [RowPrediction.of(run, row) for row in rows[offset : offset + n]]
        return cls(items=items, total=len(rows), offset=offset)
