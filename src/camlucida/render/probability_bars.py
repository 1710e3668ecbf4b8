"""Predictions as bars, and the colour scale: the lower half of a panel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from camlucida.render.canvas import (
    ACCENT_COLOUR,
    BODY_PT,
    MUTED_COLOUR,
    QUIET_COLOUR,
    SMALL_PT,
    TEXT_COLOUR,
    TRACK_COLOUR,
    Sheet,
    line_height,
)
from camlucida.render.colours import NAN_COLOUR, apply_colormap
from camlucida.render.palettes import PALETTES
from camlucida.render.text import format_number, format_percent

ROW_PT = 25.0
PERCENT_WIDTH_PT = 62.0
NAME_FRACTION = 0.48
SWATCH_PT = 10.0


@dataclass(frozen=True)
class Bar:
    """One prediction.

    Attributes:
        name: Name of the class.
        probability: Its probability, in [0, 1]; None where the task has none, which draws no bar.
        value: The class score, which is written instead of a percentage.
        explained: Whether it is the explained class.
    """

    name: str
    probability: float | None
    explained: bool = False
    value: float = math.nan


def draw_label(sheet: Sheet, x: float, y: float, text: str) -> float:
    """Draw the small heading of a section, and return the y at which it ends."""
    sheet.text(x, y, text, SMALL_PT, TEXT_COLOUR, bold=True)
    return y + line_height(SMALL_PT) + 7


def draw_bars(sheet: Sheet, x: float, y: float, width: float, bars: Sequence[Bar]) -> float:
    """Draw one line per class with name, bar and percentage (or value), and return the y at which they end."""
    max_name_width = NAME_FRACTION * width
    names = [sheet.fit_name(bar.name, BODY_PT, max_name_width) for bar in bars]
    start = max((sheet.text_width(name, BODY_PT) for name in names), default=0) + 18
    track = width - start - PERCENT_WIDTH_PT
    for name, bar in zip(names, bars, strict=True):
        ink, fill = (ACCENT_COLOUR, ACCENT_COLOUR) if bar.explained else (TEXT_COLOUR, QUIET_COLOUR)
        sheet.text(x, y, name, BODY_PT, ink, bold=bar.explained)
        middle = y + 0.68 * BODY_PT
        if bar.probability is None:
            sheet.text(x + width, y, format_number(bar.value), BODY_PT, ink, "right", bold=bar.explained)
            y += ROW_PT
            continue
        sheet.rectangle(x + start, middle - 4, track, 8, TRACK_COLOUR, radius=4)
        fraction = min(max(bar.probability, 0.0), 1.0) if np.isfinite(bar.probability) else 0.0
        if fraction * track >= 0.5:
            sheet.rectangle(x + start, middle - 4, max(fraction * track, 4), 8, fill, radius=4)
        sheet.text(x + width, y, format_percent(bar.probability), BODY_PT, ink, "right", bold=bar.explained)
        y += ROW_PT
    return y


def draw_colorbar(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    colormap: str,
    scale: tuple[float, float] | None,
    has_nan: bool,
) -> float:
    """Draw the colour scale from low to high.

    Args:
        sheet: The page.
        x: Left edge in points.
        y: Top edge in points.
        width: Width in points.
        colormap: Name of the colour map.
        scale: Raw values at 0 and 1; None to write "low" and "high" instead.
        has_nan: Whether to add the grey of positions that the network input does not cover.

    Returns:
        The y at which it ends.
    """
    ramp = apply_colormap(np.linspace(0, 1, sheet.pixels(width)), colormap)
    strip = Image.fromarray(np.ascontiguousarray(np.broadcast_to(ramp, (sheet.pixels(SWATCH_PT), *ramp.shape))))
    y += sheet.draw_image(x, y, strip) + 3
    low, high = (format_number(value) for value in scale) if scale else ("low", "high")
    sheet.text(x, y, low, SMALL_PT, MUTED_COLOUR)
    sheet.text(x + width, y, high, SMALL_PT, MUTED_COLOUR, "right")
    if PALETTES[colormap].diverging:
        sheet.text(x + width / 2, y, format_number(sum(scale) / 2) if scale else "0", SMALL_PT, MUTED_COLOUR, "centre")
    y += line_height(SMALL_PT)
    return _draw_nan_legend(sheet, x, y + 5) if has_nan else y


def _draw_nan_legend(sheet: Sheet, x: float, y: float) -> float:
    sheet.rectangle(x, y + 2, SWATCH_PT, SWATCH_PT, "#{:02x}{:02x}{:02x}".format(*NAN_COLOUR))
    sheet.text(x + SWATCH_PT + 7, y, "outside the network input", SMALL_PT, MUTED_COLOUR)
    return y + line_height(SMALL_PT)
