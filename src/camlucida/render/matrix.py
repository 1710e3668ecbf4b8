"""A confusion matrix as a picture: rows are what is true, columns what is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from PIL import Image, ImageDraw

from camlucida.errors import MethodError
from camlucida.render import text as words
from camlucida.render.sheet import BODY, GUTTER, INK, MARGIN, MUTED, SMALL, Sheet, heading, line_height
from camlucida.render.sheet import footer as set_footer

CELL, WIDEST = 34.0, 460.0
NAME_ROOM = 150.0
RIGHT, WRONG, PAPER = (31, 120, 90), (190, 60, 40), (255, 255, 255)
"""Full colours of the diagonal and of what lies beside it."""


def matrix(
    counts: NDArray[Any],
    names: Sequence[str],
    *,
    totals: NDArray[Any] | None = None,
    title: str,
    subtitle: str = "",
    footer: str = "",
    density: float = 2.0,
) -> Image.Image:
    """A page with counts (m, m), each cell as dark as its share of its row.

    totals    (m,) of the rows, where they are more than is shown
    returns   RGB, `density` pixels a point
    raises    MethodError where the names are not as many as the rows
    """
    if counts.shape != (len(names), len(names)) or not len(names):
        raise MethodError(f"a matrix of shape {counts.shape} with {len(names)} names.")
    whole = counts.sum(1) if totals is None else totals
    cell = max(CELL, min(46.0, WIDEST / len(names)))
    left = MARGIN + NAME_ROOM + 10
    sheet = Sheet(max(left + cell * len(names) + 60 + MARGIN, 620), density)
    y = heading(sheet, MARGIN, MARGIN - 10, sheet.width - 2 * MARGIN, (title, subtitle)) + GUTTER
    y = _columns(sheet, left, y, names, cell)
    for row, name in enumerate(names):
        middle = y + (cell - line_height(BODY)) / 2
        sheet.text(left - 10, middle, sheet.name_fits(name, BODY, NAME_ROOM), BODY, INK, "right")
        for column in range(len(names)):
            _cell(sheet, left + column * cell, y, cell, int(counts[row, column]), int(whole[row]), row == column)
        sheet.text(left + cell * len(names) + 10, middle, f"of {int(whole[row]):,}", SMALL, MUTED)
        y += cell
    return sheet.trimmed(set_footer(sheet, y, footer))


def _cell(sheet: Sheet, x: float, y: float, size: float, count: int, total: int, diagonal: bool) -> None:
    depth = (count / max(total, 1)) ** 0.5  # one of a hundred has to be seen, too
    full = RIGHT if diagonal else WRONG
    colour = tuple(round(p + (f - p) * depth) for p, f in zip(PAPER, full, strict=True))
    sheet.block(x, y, size - 1.5, size - 1.5, "#f6f6f8" if not count else "#{:02x}{:02x}{:02x}".format(*colour))
    if count:
        ink = "#ffffff" if depth > 0.6 else INK
        shown = sheet.fits(f"{count:,}", SMALL, size - 3)
        sheet.text(x + (size - 1.5) / 2, y + (size - 1.5 - line_height(SMALL)) / 2, shown, SMALL, ink, "centre")


def _columns(sheet: Sheet, left: float, y: float, names: Sequence[str], cell: float) -> float:
    """The names of the columns, upright; returns where the cells begin."""
    size = BODY * sheet.density
    cut = [sheet.name_fits(name, BODY, NAME_ROOM) for name in names]
    deep = max(sheet.text_width(name, BODY) for name in cut) + 8
    sheet.block(left, y + deep, 1, 1, "#ffffff")  # makes room
    for i, name in enumerate(cut):
        width = max(1, round(words.width(name, size))) + 2
        line = Image.new("RGB", (width, sheet.pixels(line_height(BODY))), "#ffffff")
        words.draw(ImageDraw.Draw(line), 0, 1.06 * size, name, size, INK)
        turned = line.rotate(90, expand=True)
        x = left + i * cell + (cell - line_height(BODY)) / 2
        sheet.picture(x, y + deep - 6 - turned.height / sheet.density, turned)
    return y + deep
