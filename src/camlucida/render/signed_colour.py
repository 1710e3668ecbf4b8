"""Signed maps of the colour channels as images: grey is zero, as in the figures on guided backpropagation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.render.canvas import (
    GUTTER_PT,
    MARGIN_PT,
    MUTED_COLOUR,
    SMALL_PT,
    Sheet,
    draw_footer,
    draw_heading,
    draw_paragraph,
    draw_rows,
)
from camlucida.render.resize import display_size, resize_image

CONTRAST = 0.1
"""Distance from grey, in [0, 1], of a value of one standard deviation; as in `deprocess_image` of pytorch-grad-cam."""

OUTSIDE_GREY = 200
"""Grey level of pixels outside the network input."""


def draw_signed_colour(values: NDArray[Any], scale: float) -> Image.Image:
    """Return a signed map of the colour channels as an image: 0.5 + 0.1 value / scale, clipped to [0, 1].

    With the standard deviation of the map as the scale, this is the display of Springenberg et al. (2015) and Selvaraju
    et al. (2017) as pytorch-grad-cam draws it (`deprocess_image`), but for the mean of the map, which is not
    subtracted here, so that grey is exactly zero.

    Args:
        values: The map `(height, width, 3)`, NaN outside the network input.
        scale: The value that is displayed 0.1 away from grey; with 0, everything is grey.
    """
    contrast = CONTRAST * values / scale if scale > 0 else np.zeros_like(values)
    levels = np.clip(0.5 + np.nan_to_num(contrast), 0, 1) * 255
    levels[np.isnan(values)] = OUTSIDE_GREY
    return Image.fromarray(np.round(levels).astype(np.uint8))


TILE_WIDTH_PT, MAX_TILE_HEIGHT_PT, GAP_PT, MAX_COLUMNS = 220.0, 300.0, 12.0, 5


def draw_colour_sheet(
    images: Sequence[tuple[str, Image.Image]],
    *,
    title: str,
    subtitle: str = "",
    footer: str = "",
    density: float = 2.0,
) -> Image.Image:
    """Draw a page of images beside each other, each with its label below it, up to five per row.

    Args:
        images: The labels and images: the original first, then the maps in colour.
        title: Title of the page.
        subtitle: Text below the title.
        footer: Text below all other content.
        density: Pixels per point.
    """
    n_columns = min(len(images), MAX_COLUMNS)
    sheet = Sheet(n_columns * TILE_WIDTH_PT + (n_columns - 1) * GAP_PT + 2 * MARGIN_PT, density)
    y = draw_heading(sheet, MARGIN_PT, MARGIN_PT - 10, sheet.width - 2 * MARGIN_PT, (title, subtitle)) + GUTTER_PT

    def draw(x: float, y: float, labelled: tuple[str, Image.Image]) -> float:
        label, image = labelled
        size = display_size(image.size, (sheet.pixels(TILE_WIDTH_PT), sheet.pixels(MAX_TILE_HEIGHT_PT)))
        below = y + sheet.draw_image(x, y, resize_image(image, size), edge=True) + 4
        return draw_paragraph(sheet, x, below, label, SMALL_PT, MUTED_COLOUR, TILE_WIDTH_PT, max_lines=2)

    end = draw_rows(images, n_columns, MARGIN_PT, y, TILE_WIDTH_PT + GAP_PT, GUTTER_PT, draw)
    return sheet.trimmed(draw_footer(sheet, end, footer))
