"""One explanation on one page: picture, heat map, overlay; the predictions; what the colours mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.bars import Bar, draw_bars, draw_scale, label
from camlucida.render.colours import checked, checked_heat, colourise
from camlucida.render.display import show_heat, show_picture, shown_size
from camlucida.render.overlay import Blend, overlay
from camlucida.render.palettes import DEFAULT
from camlucida.render.sheet import (
    ACCENT,
    BODY,
    GUTTER,
    MARGIN,
    MUTED,
    SMALL,
    Sheet,
    heading,
    line_height,
    paragraph,
)
from camlucida.render.sheet import footer as set_footer

COLUMN, TALLEST = 300.0, 400.0
STRIP = 2.6
"""From this ratio of width to height on, the three pictures lie below each other."""

CAPTIONS = ("Picture", "Heat map", "Overlay")


def panel(
    image: Image.Image,
    heatmap: NDArray[Any],
    bars: Sequence[Bar] = (),
    *,
    title: str,
    subtitle: str = "",
    score_label: str = "",
    note: str = "",
    footer: str = "",
    scale: tuple[float, float] | None = None,
    opacity: float = 0.5,
    colormap: str = DEFAULT,
    blend: Blend = "heat",
    contour: float | None = None,
    density: float = 2.0,
) -> Image.Image:
    """A page about one explanation.

    image        any size; shown 300 points wide (strips 944), enlarged or reduced
    heatmap      (height, width) of the picture, float in [0, 1], NaN where the network did not look
    bars         the predictions, best first; the explained class is set in the accent colour
    title        the class, e.g. "Labrador retriever"
    subtitle     how it was explained, e.g. "Grad-CAM · layer4"
    score_label  the score, at the right of the title, e.g. "logit 14.2"
    note         a remark that must not be overlooked, e.g. the verdict on the map
    footer       model and versions
    scale        the map's raw values at heat 0 and 1, for the colour scale
    opacity, colormap, blend, contour   as in `overlay`
    density      pixels a point: 1 for small pictures, 2 for sharp ones
    returns      RGB, 1032 points wide
    raises       MethodError for sizes that differ, an unknown colour map or blend, values out of range
    """
    checked(colormap)
    heat = checked_heat(heatmap)
    if heat.shape != (image.height, image.width):
        raise MethodError(f"a heat map of shape {heat.shape} does not fit a picture of size {image.size}.")
    sheet = Sheet(3 * COLUMN + 2 * GUTTER + 2 * MARGIN, density)
    room = sheet.width - 2 * MARGIN
    y = heading(sheet, MARGIN, MARGIN - 10, room, (title, subtitle), score_label)
    if note:
        y = paragraph(sheet, MARGIN, y + 9, note, BODY, ACCENT, room, most=3)
    strip = image.width > STRIP * image.height
    size = _shown(sheet, image, strip, room)
    photo, shown = show_picture(image, size), show_heat(heat, size)
    coat = overlay(photo, shown, opacity=opacity, colormap=colormap, blend=blend, contour=contour)
    y = _pictures(sheet, y + 20, (photo, Image.fromarray(colourise(shown, colormap)), coat), strip)
    y = _lower_half(sheet, y + 26, bars, colormap, scale, bool(np.isnan(heat).any()))
    return sheet.trimmed(set_footer(sheet, y, footer))


def _shown(sheet: Sheet, image: Image.Image, strip: bool, room: float) -> tuple[int, int]:
    return shown_size(image.size, (sheet.pixels(room if strip else COLUMN), sheet.pixels(TALLEST)))


def _pictures(sheet: Sheet, y: float, pictures: Sequence[Image.Image], strip: bool) -> float:
    """The three side by side, or below each other; returns where the last caption ends."""
    x, end = MARGIN, y
    for picture, caption in zip(pictures, CAPTIONS, strict=True):
        below = y + sheet.picture(x, y, picture, edge=True) + 6
        sheet.text(x, below, caption, SMALL, MUTED)
        end = below + line_height(SMALL)
        if strip:
            y = end + 12
        else:
            x += COLUMN + GUTTER
    return end


def _lower_half(
    sheet: Sheet,
    y: float,
    bars: Sequence[Bar],
    colormap: str,
    scale: tuple[float, float] | None,
    unseen: bool,
) -> float:
    """Predictions under the first two pictures, the colour scale under the third; returns where they end."""
    left = 2 * COLUMN + GUTTER
    right = MARGIN + left + GUTTER
    end = y
    if bars:
        end = draw_bars(sheet, MARGIN, label(sheet, MARGIN, y, "Predictions"), left - GUTTER, bars)
    below = draw_scale(sheet, right, label(sheet, right, y, "Heat") + 2, COLUMN, colormap, scale, unseen)
    return max(end, below)
