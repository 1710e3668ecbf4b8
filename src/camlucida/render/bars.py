"""What the network answered, and what the colours mean: the lower half of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from camlucida.render.colours import NOT_SEEN, colourise
from camlucida.render.palettes import PALETTES
from camlucida.render.sheet import (
    ACCENT,
    BODY,
    INK,
    MUTED,
    QUIET,
    SMALL,
    TRACK,
    Sheet,
    line_height,
)
from camlucida.render.text import number, percent

ROW = 25.0
PERCENT_ROOM = 62.0
NAME_SHARE = 0.48
SWATCH = 10.0


@dataclass(frozen=True)
class Bar:
    """One line of the predictions: the class, its probability in [0, 1], and if it is the explained one."""

    name: str
    probability: float
    explained: bool = False


def label(sheet: Sheet, x: float, y: float, text: str) -> float:
    """The small heading of a part; returns where it ends."""
    sheet.text(x, y, text, SMALL, INK, bold=True)
    return y + line_height(SMALL) + 7


def draw_bars(sheet: Sheet, x: float, y: float, room: float, bars: Sequence[Bar]) -> float:
    """A line a class: name, bar, percentage; returns where they end."""
    most = NAME_SHARE * room
    names = [sheet.name_fits(bar.name, BODY, most) for bar in bars]
    start = max((sheet.text_width(name, BODY) for name in names), default=0) + 18
    track = room - start - PERCENT_ROOM
    for name, bar in zip(names, bars, strict=True):
        ink, fill = (ACCENT, ACCENT) if bar.explained else (INK, QUIET)
        sheet.text(x, y, name, BODY, ink, bold=bar.explained)
        middle = y + 0.68 * BODY
        sheet.block(x + start, middle - 4, track, 8, TRACK, radius=4)
        share = min(max(bar.probability, 0.0), 1.0) if np.isfinite(bar.probability) else 0.0
        if share * track >= 0.5:
            sheet.block(x + start, middle - 4, max(share * track, 4), 8, fill, radius=4)
        sheet.text(x + room, y, percent(bar.probability), BODY, ink, "right", bold=bar.explained)
        y += ROW
    return y


def draw_scale(
    sheet: Sheet,
    x: float,
    y: float,
    room: float,
    colormap: str,
    scale: tuple[float, float] | None,
    unseen: bool,
) -> float:
    """The colours from low to high with their numbers; returns where it ends.

    scale   the raw values at heat 0 and 1; words stand in where it is None
    unseen  adds the grey of what the network did not see
    """
    ramp = colourise(np.linspace(0, 1, sheet.pixels(room)), colormap)
    strip = Image.fromarray(np.ascontiguousarray(np.broadcast_to(ramp, (sheet.pixels(SWATCH), *ramp.shape))))
    y += sheet.picture(x, y, strip) + 3
    low, high = (number(value) for value in scale) if scale else ("low", "high")
    sheet.text(x, y, low, SMALL, MUTED)
    sheet.text(x + room, y, high, SMALL, MUTED, "right")
    if PALETTES[colormap].diverging:
        sheet.text(x + room / 2, y, number(sum(scale) / 2) if scale else "0", SMALL, MUTED, "centre")
    y += line_height(SMALL)
    return _draw_unseen(sheet, x, y + 5) if unseen else y


def _draw_unseen(sheet: Sheet, x: float, y: float) -> float:
    sheet.block(x, y + 2, SWATCH, SWATCH, "#{:02x}{:02x}{:02x}".format(*NOT_SEEN))
    sheet.text(x + SWATCH + 7, y, "not seen by the network", SMALL, MUTED)
    return y + line_height(SMALL)
