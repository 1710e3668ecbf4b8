"""The surest wrong answers on a sheet: the picture, what the model saw in it, and what it missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import camlucida
from camlucida.data.datasets import DataSet
from camlucida.errors import DataError
from camlucida.evaluation.store import Row
from camlucida.explaining import explain
from camlucida.explanation import Explanation
from camlucida.models.model import Model
from camlucida.render.strips import Frame, Strip, strips
from camlucida.render.text import percent

WIDTH = 224.0


@dataclass(frozen=True, eq=False)
class Mistake:
    """One wrong answer.

    said      the map of the class that the picture was taken for: what the model saw
    true      the map of the class that it shows: what the model missed
    """

    row: Row
    said: Explanation
    true: Explanation
    boxes: NDArray[np.float64] | None

    @property
    def likelier(self) -> tuple[float, float]:
        """The probabilities of what was said and of what is true."""
        gap = float(np.exp(self.true.score - self.said.score))
        return float(self.row["confidence"]), float(self.row["confidence"]) * gap


def explained(
    model: Model, data: DataSet, rows: Sequence[Row], *, method: str, layer: str | int | None
) -> list[Mistake]:
    """Explain both classes of each of the rows, from one run of the network."""
    found = []
    for row in rows:
        item = data[row["index"]]
        said, true = explain(model, item.image, target=[row["predicted"], row["truth"]], method=method, layer=layer)
        found.append(Mistake(row, said, true, item.boxes))
    return found


def sheet(mistakes: Sequence[Mistake], *, model: str, data: str, method: str) -> Image.Image:
    """A row a mistake. Each map has its own scale."""
    if not mistakes:
        raise DataError(f"{model} makes no mistake on {data}: there is none to show.")
    rows = []
    for each in mistakes:
        boxes = () if each.boxes is None else each.boxes
        sure, missed = (percent(chance) for chance in each.likelier)
        frames = (
            Frame(None, each.row["picture"], "", boxes=boxes),
            Frame(each.said.heatmap, f"saw: {each.row['said']}", sure, warning=True, boxes=boxes),
            Frame(each.true.heatmap, f"missed: {each.row['label']}", missed, boxes=boxes),
        )
        name = f"{each.row['label']}, taken for {each.row['said']}"
        rows.append(Strip(name, sure, True, frames, each.said.picture))
    first = mistakes[0].said
    return strips(
        rows,
        title="What it saw, what it missed",
        subtitle=f"the {len(rows)} surest wrong answers of {model} on {data}",
        footer=f"{method} · {first.layer} · each map has its own scale · camlucida {camlucida.__version__}",
        width=WIDTH,
        opacity=0.5,
    )
