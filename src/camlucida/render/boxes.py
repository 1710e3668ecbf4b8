"""Where the object is, and where the map says it is: boxes over a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError

TRUE_COLOUR, PREDICTED_COLOUR = "#ffffff", "#ff2bd6"
"""White and magenta: neither is in the palettes that maps are shown in, and one is much lighter than the other."""
EDGE_COLOUR = "#1d1d22"

BoxesLike: TypeAlias = Sequence[Sequence[float]] | NDArray[Any]


def draw_boxes(
    image: Image.Image,
    true_boxes: BoxesLike = (),
    predicted_boxes: BoxesLike = (),
    *,
    colours: tuple[str, str] = (TRUE_COLOUR, PREDICTED_COLOUR),
) -> Image.Image:
    """The picture with true boxes and the map's boxes on it, as a new RGB picture of the same size.

    image    a picture, or an overlay of one
    true     (n, 4) left, top, right, bottom in pixels, right and bottom exclusive
    found    (m, 4) likewise; drawn over the true ones
    colours  #rrggbb of the true boxes and of the map's
    returns  lines on the pixels just inside the boxes, about 1/160 of the picture wide, with a dark edge as wide inside
             of them: visible on any picture. Of a box that reaches out of the picture the part inside is framed
    raises   MethodError for boxes of another shape
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
    """Colour the pixels of a box that lie from `start` to `end` pixels inside of it."""
    height, width = canvas.shape[:2]
    left, right = (min(max(round(float(x)), 0), width) for x in (box[0], box[2]))
    top, bottom = (min(max(round(float(y)), 0), height) for y in (box[1], box[3]))
    y, x = np.arange(top, bottom), np.arange(left, right)
    depth = np.minimum(np.minimum(y - top, bottom - 1 - y)[:, None], np.minimum(x - left, right - 1 - x))
    canvas[top:bottom, left:right][(depth >= start) & (depth < end)] = list(bytes.fromhex(colour[1:]))
