"""Bounding boxes drawn on an image: the annotated ones, and those that the map predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError

TRUE_COLOUR, PREDICTED_COLOUR = "#ffffff", "#ff2bd6"
"""White and magenta: neither occurs in the colour maps, and one is much lighter than the other."""
EDGE_COLOUR = "#1d1d22"

BoxesLike: TypeAlias = Sequence[Sequence[float]] | NDArray[Any]


def draw_boxes(
    image: Image.Image,
    true_boxes: BoxesLike = (),
    predicted_boxes: BoxesLike = (),
    *,
    colours: tuple[str, str] = (TRUE_COLOUR, PREDICTED_COLOUR),
) -> Image.Image:
    """Draw annotated and predicted bounding boxes on an image.

    The lines lie just inside the boxes and are about 1/160 of the image wide, with a dark edge of the same width inside
    them, so that they are visible on every image. Boxes are clipped to the image.

    Args:
        image: An image, or an overlay.
        true_boxes: Annotated boxes `(n, 4)`: left, top, right, bottom in pixels, right and bottom exclusive.
        predicted_boxes: The map's boxes `(m, 4)`, drawn on top of the annotated ones.
        colours: Colours of the annotated and of the predicted boxes, as #rrggbb.

    Returns:
        A new RGB image of the same size.

    Raises:
        MethodError: If the boxes have another shape.
    """
    canvas = np.array(image.convert("RGB"))
    width = max(1, round(min(image.size) / 160))
    for boxes, colour in ((true_boxes, colours[0]), (predicted_boxes, colours[1])):
        array = np.asarray(boxes, dtype=np.float64)
        if array.size and (array.ndim != 2 or array.shape[1] != 4):
            raise MethodError(f"boxes of shape {array.shape}: a box is left, top, right, bottom.")
        for box in array.reshape(-1, 4):
            _frame(canvas, box, colour, 0, width)
            _frame(canvas, box, EDGE_COLOUR, width, 2 * width)
    return Image.fromarray(canvas)


def _frame(canvas: NDArray[np.uint8], box: NDArray[np.float64], colour: str, start: int, end: int) -> None:
    """Colour the pixels of a box that lie between `start` and `end` pixels inside its edge."""
    height, width = canvas.shape[:2]
    left, right = (min(max(round(float(x)), 0), width) for x in (box[0], box[2]))
    top, bottom = (min(max(round(float(y)), 0), height) for y in (box[1], box[3]))
    y, x = np.arange(top, bottom), np.arange(left, right)
    depth = np.minimum(np.minimum(y - top, bottom - 1 - y)[:, None], np.minimum(x - left, right - 1 - x))
    canvas[top:bottom, left:right][(depth >= start) & (depth < end)] = list(bytes.fromhex(colour[1:]))
