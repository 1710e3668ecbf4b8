"""One explanation of a volume on one page: three slices, and projections of the volume and the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.render.canvas import (
    ACCENT_COLOUR,
    BODY_PT,
    GUTTER_PT,
    MARGIN_PT,
    MUTED_COLOUR,
    SMALL_PT,
    Sheet,
    draw_footer,
    draw_heading,
    draw_paragraph,
    line_height,
)
from camlucida.render.colours import check_colormap, check_heatmap
from camlucida.render.overlay import Blend, overlay
from camlucida.render.palettes import DEFAULT_COLORMAP
from camlucida.render.panel import COLUMN_PT, draw_lower_half
from camlucida.render.probability_bars import Bar, draw_label
from camlucida.render.resize import resize_heatmap, resize_image
from camlucida.render.volume_views import display_shape

ROW_HEIGHT_PT = 260.0
"""Largest height of a slice."""


@dataclass(frozen=True)
class Plane:
    """One plane of a volume.

    Attributes:
        image: The plane as RGB.
        heatmap: Map of the plane `(height, width)` in [0, 1]; NaN where the network input does not cover it.
        mm: Height and width of a pixel, which need not be equal.
        caption: Text below it.
    """

    image: Image.Image
    heatmap: NDArray[Any]
    mm: tuple[float, float]
    caption: str


def draw_volume_panel(
    slices: Sequence[Plane],
    projections: Sequence[Plane],
    bars: Sequence[Bar] = (),
    *,
    title: str,
    subtitle: str = "",
    score_label: str = "",
    note: str = "",
    footer: str = "",
    slices_label: str = "Slices",
    scale: tuple[float, float] | None = None,
    opacity: float = 0.5,
    colormap: str = DEFAULT_COLORMAP,
    blend: Blend = "saliency",
    contour: float | None = None,
    density: float = 2.0,
) -> Image.Image:
    """Draw a page about one explanation of a volume.

    Args:
        slices: The three slices.
        projections: The three maximum-intensity projections.
        bars: The predictions, best first.
        title: The class.
        subtitle: Method and layer.
        score_label: The score.
        note: An important remark.
        footer: Model and versions.
        slices_label: Where the slices lie.
        scale: Raw values of the map at 0 and 1.
        opacity: As in `overlay`.
        colormap: Name of the colour map.
        blend: As in `overlay`.
        contour: As in `overlay`.
        density: Pixels per point.

    Returns:
        The page, RGB: the slices alone, the slices with the map, and the projections of both.
    """
    check_colormap(colormap)
    sheet = Sheet(3 * COLUMN_PT + 2 * GUTTER_PT + 2 * MARGIN_PT, density)
    content_width = sheet.width - 2 * MARGIN_PT
    y = draw_heading(sheet, MARGIN_PT, MARGIN_PT - 10, content_width, (title, subtitle), score_label)
    if note:
        y = draw_paragraph(sheet, MARGIN_PT, y + 9, note, BODY_PT, ACCENT_COLOUR, content_width, max_lines=3)
    style: dict[str, Any] = {"opacity": opacity, "colormap": colormap, "blend": blend, "contour": contour}
    y = draw_label(sheet, MARGIN_PT, y + 20, slices_label) + 4
    y = _draw_row(sheet, y, slices, None, captions=False) + 12
    y = _draw_row(sheet, y, slices, style) + 18
    y = draw_label(sheet, MARGIN_PT, y, "Maximum-intensity projections of volume and map") + 4
    y = _draw_row(sheet, y, projections, style)
    has_nan = any(bool(np.isnan(plane.heatmap).any()) for plane in (*slices, *projections))
    y = draw_lower_half(sheet, y + 26, bars, colormap, scale, has_nan)
    return sheet.trimmed(draw_footer(sheet, y, footer))


def _draw_row(
    sheet: Sheet, y: float, planes: Sequence[Plane], style: dict[str, Any] | None, *, captions: bool = True
) -> float:
    """Draw planes side by side, and return the y at which the last caption ends; without a style no map is drawn."""
    end = y
    for column, plane in enumerate(planes):
        x = MARGIN_PT + column * (COLUMN_PT + GUTTER_PT)
        size = display_shape(plane.image.size, plane.mm, (sheet.pixels(COLUMN_PT), sheet.pixels(ROW_HEIGHT_PT)))
        image = resize_image(plane.image, size)
        if style is not None:
            image = overlay(image, resize_heatmap(check_heatmap(plane.heatmap), size), **style)
        below = y + sheet.draw_image(x, y, image, edge=True)
        if captions:
            text = sheet.fit_text(plane.caption, SMALL_PT, COLUMN_PT)
            sheet.text(x, below + 6, text, SMALL_PT, MUTED_COLOUR)
            below += 6 + line_height(SMALL_PT)
        end = max(end, below)
    return end
