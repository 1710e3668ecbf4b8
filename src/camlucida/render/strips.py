"""Film strips: the same picture explained again and again while something changes, a row a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.boxes import Boxes, boxed
from camlucida.render.display import show_heat, show_picture, shown_size
from camlucida.render.overlay import overlay
from camlucida.render.palettes import DEFAULT
from camlucida.render.sheet import ACCENT, BODY, GUTTER, INK, MARGIN, MUTED, SMALL, Sheet, heading, line_height
from camlucida.render.sheet import footer as set_footer

WIDTH, GAP, ROW_GAP = 112.0, 8.0, 20.0
TALLEST = 1.5
"""A frame is at most so many times as high as it is wide."""


@dataclass(frozen=True)
class Frame:
    """One picture of a strip: the heat (height, width) in [0, 1] over it, and what is written under it.

    heat      None for the picture alone
    caption   a line, or several
    warning   whether its first line has the colour of a warning
    picture   where it is not that of the row
    boxes     true ones, in pixels of the picture, drawn as frames
    """

    heat: NDArray[Any] | None
    label: str
    caption: str = ""
    warning: bool = False
    picture: Image.Image | None = None
    boxes: Boxes = ()


@dataclass(frozen=True)
class Strip:
    """One row: what it is called, what is said of it (in the colour of a warning, or not), and its frames.

    picture   where each row has its own
    """

    name: str
    remark: str
    warning: bool
    frames: Sequence[Frame]
    picture: Image.Image | None = None


def strips(
    rows: Sequence[Strip],
    picture: Image.Image | None = None,
    *,
    title: str,
    subtitle: str = "",
    footer: str = "",
    opacity: float = 0.6,
    colormap: str = DEFAULT,
    width: float = WIDTH,
    density: float = 2.0,
) -> Image.Image:
    """A page of strips over one picture, or each over its own.

    width     of a frame, in points
    returns   RGB, `density` pixels a point
    raises    MethodError where there is no strip, or a frame has no picture
    """
    if not rows:
        raise MethodError("a page without a strip: there is nothing to show.")
    columns = max(len(row.frames) for row in rows)
    room = max(columns * (width + GAP) - GAP, 5 * WIDTH)
    sheet = Sheet(room + 2 * MARGIN, density)
    y = heading(sheet, MARGIN, MARGIN - 10, room, (title, subtitle), "") + GUTTER
    for row in rows:
        sheet.text(MARGIN, y, sheet.fits(row.name, BODY, room / 2), BODY, INK, bold=True)
        remark = sheet.fits(row.remark, BODY, room / 2)
        sheet.text(MARGIN + room, y, remark, BODY, ACCENT if row.warning else MUTED, align="right")
        y += line_height(BODY) + 4
        below = y
        for column, frame in enumerate(row.frames):
            x = MARGIN + column * (width + GAP)
            painted = _painted(sheet, frame, row.picture or picture, width, opacity, colormap)
            end = y + sheet.picture(x, y, painted, edge=True) + 3
            sheet.text(x, end, sheet.fits(frame.label, SMALL, width), SMALL, INK)
            for i, line in enumerate(frame.caption.split("\n")):
                end += line_height(SMALL)
                colour = ACCENT if frame.warning and i == 0 else MUTED
                sheet.text(x, end, sheet.fits(line, SMALL, width), SMALL, colour)
            below = max(below, end + line_height(SMALL))
        y = below + ROW_GAP
    return sheet.trimmed(set_footer(sheet, y - ROW_GAP, footer))


def _painted(
    sheet: Sheet, frame: Frame, of_row: Image.Image | None, width: float, opacity: float, colormap: str
) -> Image.Image:
    picture = frame.picture or of_row
    if picture is None:
        raise MethodError(f"the frame {frame.label!r} has no picture, and neither has its row.")
    size = shown_size(picture.size, (sheet.pixels(width), sheet.pixels(width * min(TALLEST, _shape(picture)))))
    photo = show_picture(picture, size)
    if frame.heat is not None:
        photo = overlay(photo, show_heat(frame.heat, size), opacity=opacity, colormap=colormap)
    if not len(frame.boxes):
        return photo
    scale = [size[0] / picture.width, size[1] / picture.height] * 2
    return boxed(photo, np.asarray(frame.boxes, dtype=np.float64).reshape(-1, 4) * scale)


def _shape(picture: Image.Image) -> float:
    return picture.height / picture.width
