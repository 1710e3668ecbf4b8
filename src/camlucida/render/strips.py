"""Film strips: the same picture explained again and again while something changes, a row a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.display import show_heat, show_picture, shown_size
from camlucida.render.overlay import overlay
from camlucida.render.palettes import DEFAULT
from camlucida.render.sheet import ACCENT, BODY, GUTTER, INK, MARGIN, MUTED, SMALL, Sheet, heading, line_height
from camlucida.render.sheet import footer as set_footer

WIDTH, GAP, ROW_GAP = 112.0, 8.0, 20.0


@dataclass(frozen=True)
class Frame:
    """One picture of a strip: the heat (height, width) in [0, 1] over it, and what is written under it."""

    heat: NDArray[Any]
    label: str
    caption: str = ""


@dataclass(frozen=True)
class Strip:
    """One row: what it is called, what is said of it (in the colour of a warning, or not), and its frames."""

    name: str
    remark: str
    warning: bool
    frames: Sequence[Frame]


def strips(
    rows: Sequence[Strip],
    picture: Image.Image,
    *,
    title: str,
    subtitle: str = "",
    footer: str = "",
    opacity: float = 0.6,
    colormap: str = DEFAULT,
    density: float = 2.0,
) -> Image.Image:
    """A page of strips over one picture.

    returns   RGB, `density` pixels a point
    raises    MethodError where there is no strip
    """
    if not rows:
        raise MethodError("a page without a strip: there is nothing to show.")
    columns = max(len(row.frames) for row in rows)
    room = max(columns * (WIDTH + GAP) - GAP, 5 * WIDTH)
    sheet = Sheet(room + 2 * MARGIN, density)
    y = heading(sheet, MARGIN, MARGIN - 10, room, (title, subtitle), "") + GUTTER
    size = shown_size(picture.size, (sheet.pixels(WIDTH), sheet.pixels(WIDTH * picture.height / picture.width)))
    photo = show_picture(picture, size)
    for row in rows:
        sheet.text(MARGIN, y, sheet.fits(row.name, BODY, room / 2), BODY, INK, bold=True)
        remark = sheet.fits(row.remark, BODY, room / 2)
        sheet.text(MARGIN + room, y, remark, BODY, ACCENT if row.warning else MUTED, align="right")
        y += line_height(BODY) + 4
        below = y
        for column, frame in enumerate(row.frames):
            x = MARGIN + column * (WIDTH + GAP)
            painted = overlay(photo, show_heat(frame.heat, size), opacity=opacity, colormap=colormap)
            end = y + sheet.picture(x, y, painted, edge=True) + 3
            sheet.text(x, end, sheet.fits(frame.label, SMALL, WIDTH), SMALL, INK)
            sheet.text(x, end + line_height(SMALL), sheet.fits(frame.caption, SMALL, WIDTH), SMALL, MUTED)
            below = max(below, end + 2 * line_height(SMALL))
        y = below + ROW_GAP
    return sheet.trimmed(set_footer(sheet, y - ROW_GAP, footer))
