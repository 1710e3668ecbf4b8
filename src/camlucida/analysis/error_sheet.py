"""A figure of the most confident wrong predictions: the image, and the maps of the predicted and the labelled class."""

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
    """One wrong prediction with its explanations.

    Attributes:
        row: The row of the image.
        predicted_map: Explanation of the predicted class.
        label_map: Explanation of the labelled class.
        boxes: Boxes of the object `(n, 4)`, if annotated.
    """

    row: Row
    predicted_map: Explanation
    label_map: Explanation
    boxes: NDArray[np.float64] | None

    @property
    def probabilities(self) -> tuple[float, float]:
        """Return the probabilities of the predicted and of the labelled class."""
        first, label = self.predicted_map, self.label_map
        confidence = float(self.row["confidence"])
        return confidence, label.activation.probability_of(label.score, first.score, confidence)


def explain_mistakes(
    model: Model, data: Dataset, rows: Sequence[Row], *, method: str, layer: str | int | None
) -> list[Mistake]:
    """Explain the predicted and the labelled class of each row, from one run of the network per image.

    Args:
        model: The model.
        data: The data set of the rows.
        rows: Rows of wrong predictions.
        method: Name of the attribution method.
        layer: Layer to explain; None for the method's default layer.

    Returns:
        One mistake per row.
    """
    explained = []
    for row in rows:
        item = data[row["index"]]
        predicted_map, label_map = explain(
            model, item.image, target=[row["predicted_index"], row["label_index"]], method=method, layer=layer
        )
        explained.append(Mistake(row, predicted_map, label_map, item.boxes))
    return explained


def error_sheet(mistakes: Sequence[Mistake], *, model: str, data: str, method: str) -> Image.Image:
    """Draw one row per wrong prediction. Each map has its own scale.

    Args:
        mistakes: The wrong predictions.
        model: Name of the model.
        data: Name of the data set.
        method: Name of the attribution method.

    Returns:
        The figure, RGB.

    Raises:
        DataError: If there are no mistakes.
    """
    if not mistakes:
        raise DataError(f"{model} makes no wrong predictions on {data}, so there is nothing to draw.")
    rows = []
    for mistake in mistakes:
        boxes = () if mistake.boxes is None else mistake.boxes
        confidence, probability = (format_percent(value) for value in mistake.probabilities)
        frames = (
            StripFrame(None, mistake.row["image"], "", boxes=boxes),
            StripFrame(
                mistake.predicted_map.heatmap,
                f"predicted: {mistake.row['predicted']}",
                confidence,
                warning=True,
                boxes=boxes,
            ),
            StripFrame(mistake.label_map.heatmap, f"label: {mistake.row['label']}", probability, boxes=boxes),
        )
        name = f"{mistake.row['label']}, predicted as {mistake.row['predicted']}"
        rows.append(Strip(name, confidence, True, frames, mistake.predicted_map.image))
    first = mistakes[0].predicted_map
    return draw_strips(
        rows,
        title="Maps of the predicted and the labelled class",
        subtitle=f"the {len(rows)} most confident wrong predictions of {model} on {data}",
        footer=f"{method} · {first.layer} · each map has its own scale · camlucida {camlucida.__version__}",
        width=FRAME_WIDTH,
        opacity=0.5,
    )
