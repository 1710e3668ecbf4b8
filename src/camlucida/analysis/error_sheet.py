"""The surest wrong answers on a sheet: the picture, what the model saw in it, and what it missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import camlucida
from camlucida.attribution.explain import explain
from camlucida.attribution.explanation import Explanation
from camlucida.data.datasets import Dataset
from camlucida.errors import DataError
from camlucida.evaluation.store import Row
from camlucida.models.model import Model
from camlucida.render.film_strip import Strip, StripFrame, draw_strips
from camlucida.render.text import format_percent

FRAME_WIDTH = 224.0


@dataclass(frozen=True, eq=False)
class Mistake:
    """One wrong answer.

    said      the map of the class that the picture was taken for: what the model saw
    true      the map of the class that it shows: what the model missed
    """

    row: Row
    predicted_map: Explanation
    label_map: Explanation
    boxes: NDArray[np.float64] | None

    @property
    def probabilities(self) -> tuple[float, float]:
        """The probabilities of what was said and of what is true."""
        ratio = float(np.exp(self.label_map.score - self.predicted_map.score))
        return float(self.row["confidence"]), float(self.row["confidence"]) * ratio


def explain_mistakes(
    model: Model, data: Dataset, rows: Sequence[Row], *, method: str, layer: str | int | None
) -> list[Mistake]:
    """Explain both classes of each of the rows, from one run of the network."""
    explained = []
    for row in rows:
        item = data[row["index"]]
        predicted_map, label_map = explain(
            model, item.image, target=[row["predicted"], row["truth"]], method=method, layer=layer
        )
        explained.append(Mistake(row, predicted_map, label_map, item.boxes))
    return explained


def error_sheet(mistakes: Sequence[Mistake], *, model: str, data: str, method: str) -> Image.Image:
    """A row a mistake. Each map has its own scale."""
    if not mistakes:
        raise DataError(f"{model} makes no mistake on {data}: there is none to show.")
    rows = []
    for mistake in mistakes:
        boxes = () if mistake.boxes is None else mistake.boxes
        confidence, probability = (format_percent(chance) for chance in mistake.probabilities)
        frames = (
            StripFrame(None, mistake.row["picture"], "", boxes=boxes),
            StripFrame(
                mistake.predicted_map.heatmap, f"saw: {mistake.row['said']}", confidence, warning=True, boxes=boxes
            ),
            StripFrame(mistake.label_map.heatmap, f"missed: {mistake.row['label']}", probability, boxes=boxes),
        )
        name = f"{mistake.row['label']}, taken for {mistake.row['said']}"
        rows.append(Strip(name, confidence, True, frames, mistake.predicted_map.image))
    first = mistakes[0].predicted_map
    return draw_strips(
        rows,
        title="What it saw, what it missed",
        subtitle=f"the {len(rows)} surest wrong answers of {model} on {data}",
        footer=f"{method} · {first.layer} · each map has its own scale · camlucida {camlucida.__version__}",
        width=FRAME_WIDTH,
        opacity=0.5,
    )
