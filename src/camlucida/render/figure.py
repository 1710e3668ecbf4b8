"""Many maps of one picture, or of a few, in rows and columns: layers by methods, pictures by classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.bars import draw_scale
from camlucida.render.colours import checked, checked_heat
from camlucida.render.display import show_heat, show_picture, shown_size
from camlucida.render.overlay import Blend, overlay
from camlucida.render.palettes import DEFAULT
from camlucida.render.sheet import (
    BODY,
    GUTTER,
    INK,
    MARGIN,
    MUTED,
    SMALL,
    TRACK,
    Sheet,
    heading,
    line_height,
    paragraph,
)
from camlucida.render.sheet import footer as set_footer


class Painted(NamedTuple):
    """A heat map with its caption, and the palette where it is not that of the whole page."""

    heat: NDArray[Any]
    caption: str
    colormap: str | None = None


Cell: TypeAlias = Painted | tuple[NDArray[Any], str] | str
"""A heat map with its caption, or, as a bare text, why there is none."""

GAP, ROW_GAP = 12.0, 18.0
LABELS = 120.0
CELL_WIDTHS = ((3, 230.0), (5, 176.0), (8, 140.0))
NARROWEST = 116.0
TALLEST = 1.4
LEAST_ROOM = 560.0
SCALE_WIDTH = 230.0


@dataclass(frozen=True)
class _Look:
    """How every cell is painted, and how large it is in points."""

    opacity: float
    colormap: str
    blend: Blend
    width: float
    height: float


def grid(
    cells: Sequence[Sequence[Cell]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    original: Image.Image | Sequence[Image.Image],
    subtitle: str = "",
    footer: str = "",
    scale: tuple[float, float] | None = None,
    opacity: float = 0.5,
    colormap: str = DEFAULT,
    blend: Blend = "heat",
    density: float = 2.0,
) -> Image.Image:
    """A page of overlays with labelled rows and columns.

    cells     one list a row: (heat map, caption) or a text that says why there is no map. Heat maps are as
              for `overlay`, each at the size of its picture
    original  the picture, shown beside the title; or one picture a row, shown as the first column
    scale     raw values at heat 0 and 1 if all maps share them; else each map has its own
    returns   RGB, `density` pixels a point
    raises    MethodError for counts or sizes that do not fit each other, and as `overlay` does
    """
    single = isinstance(original, Image.Image)
    pictures = [original] * len(rows) if isinstance(original, Image.Image) else list(original)
    _check(cells, rows, columns, pictures)
    look = _look(pictures, len(columns) + (not single), opacity, checked(colormap), blend)
    labels = _label_room(rows, density)
    count = len(columns) + (not single)
    room = max(labels + count * look.width + (count - 1) * GAP, LEAST_ROOM)
    sheet = Sheet(room + 2 * MARGIN, density)
    unseen = _any_unseen(cells)
    painted = (Painted(*cell).colormap or colormap for row in cells for cell in row if not isinstance(cell, str))
    used = list(dict.fromkeys(painted)) or [colormap]
    y = _top(sheet, room, labels, (title, subtitle), pictures[0] if single else None, look, scale, unseen, used)
    y = _column_heads(sheet, labels, y, [*([] if single else ["Picture"]), *columns], look)
    for name, picture, row in zip(rows, pictures, cells, strict=True):
        paragraph(sheet, MARGIN, y, name, BODY, INK, labels - GAP, most=4)
        y = _row(sheet, MARGIN + labels, y, picture, row, look, single) + ROW_GAP
    return sheet.trimmed(set_footer(sheet, y - ROW_GAP, footer))


def _check(
    cells: Sequence[Sequence[Cell]],
    rows: Sequence[str],
    columns: Sequence[str],
    pictures: Sequence[Image.Image],
) -> None:
    shape = [len(row) for row in cells]
    if not rows or not columns or shape != [len(columns)] * len(rows):
        raise MethodError(f"{len(rows)} rows and {len(columns)} columns are named, but the cells are {shape}.")
    if len(pictures) != len(rows):
        raise MethodError(f"{len(pictures)} pictures for {len(rows)} rows: pass one, or one a row.")


def _look(pictures: Sequence[Image.Image], count: int, opacity: float, colormap: str, blend: Blend) -> _Look:
    """The fewer columns, the larger the cells; as high as the tallest picture wants, within reason."""
    width = next((width for most, width in CELL_WIDTHS if count <= most), NARROWEST)
    height = width * min(TALLEST, max(picture.height / picture.width for picture in pictures))
    return _Look(opacity, colormap, blend, width, max(height, 4.0))


def _label_room(rows: Sequence[str], density: float) -> float:
    ruler = Sheet(1, density)
    longest = max((ruler.text_width(name, BODY) for name in rows), default=0)
    return min(longest, LABELS) + GUTTER if longest else 0.0


def _any_unseen(cells: Sequence[Sequence[Cell]]) -> bool:
    return any(bool(np.isnan(cell[0]).any()) for row in cells for cell in row if not isinstance(cell, str))


def _top(
    sheet: Sheet,
    room: float,
    labels: float,
    texts: tuple[str, str],
    picture: Image.Image | None,
    look: _Look,
    scale: tuple[float, float] | None,
    unseen: bool,
    colormaps: Sequence[str],
) -> float:
    """Picture, title and colour scale; returns where the grid begins."""
    x, y, end = MARGIN, MARGIN - 10, 0.0
    if picture is not None:
        photo = show_picture(picture, _size(sheet, picture, look))
        end = y + 6 + sheet.picture(x + labels, y + 6, photo, edge=True)
        x += labels + look.width + GAP  # picture and title stand over the first and the second column
    free = room + MARGIN - x
    y = heading(sheet, x, y, free, texts) + 12
    for colormap in colormaps[:-1]:
        y = draw_scale(sheet, x, y, min(SCALE_WIDTH, free), colormap, scale, False) + 6
    y = draw_scale(sheet, x, y, min(SCALE_WIDTH, free), colormaps[-1], scale, unseen)
    return max(y, end) + GUTTER


def _column_heads(sheet: Sheet, labels: float, y: float, names: Sequence[str], look: _Look) -> float:
    """All end on the same line."""
    wrapped = [sheet.lines(name, BODY, look.width, 2) for name in names]
    most = max(len(lines) for lines in wrapped)
    for column, lines in enumerate(wrapped):
        x = MARGIN + labels + column * (look.width + GAP)
        for number, line in enumerate(lines, start=most - len(lines)):
            sheet.text(x, y + number * line_height(BODY), line, BODY, INK, bold=True)
    return y + most * line_height(BODY) + 6


def _row(
    sheet: Sheet, x: float, y: float, picture: Image.Image, row: Sequence[Cell], look: _Look, single: bool
) -> float:
    """Returns where the lowest caption ends."""
    size = _size(sheet, picture, look)
    photo = show_picture(picture, size)
    end = y
    if not single:
        end = y + sheet.picture(x, y, photo, edge=True)
        x += look.width + GAP
    for cell in row:
        end = max(end, _cell(sheet, x, y, picture, photo, cell, look))
        x += look.width + GAP
    return end


def _cell(sheet: Sheet, x: float, y: float, picture: Image.Image, photo: Image.Image, cell: Cell, look: _Look) -> float:
    if isinstance(cell, str):
        return _failure(sheet, x, y, cell, look.width, photo.height / sheet.density)
    heat, caption, colormap = checked_heat(cell[0]), cell[1], Painted(*cell).colormap or look.colormap
    if heat.shape != (picture.height, picture.width):
        raise MethodError(f"a heat map of shape {heat.shape} does not fit a picture of size {picture.size}.")
    shown = show_heat(heat, photo.size)
    painted = overlay(photo, shown, opacity=look.opacity, colormap=colormap, blend=look.blend)
    below = y + sheet.picture(x, y, painted, edge=True) + 4
    return paragraph(sheet, x, below, caption, SMALL, MUTED, look.width, most=2)


def _failure(sheet: Sheet, x: float, y: float, why: str, width: float, height: float) -> float:
    """A grey field as large as the picture would be, or larger if the reason needs it."""
    most = max(3, int((height - 16) / line_height(SMALL)))
    lines = len(sheet.lines(why, SMALL, width - 20, most))
    height = max(height, 16 + lines * line_height(SMALL))
    sheet.block(x, y, width, height, TRACK)
    paragraph(sheet, x + 10, y + 8, why, SMALL, MUTED, width - 20, most)
    return y + height


def _size(sheet: Sheet, picture: Image.Image, look: _Look) -> tuple[int, int]:
    return shown_size(picture.size, (sheet.pixels(look.width), sheet.pixels(look.height)))
