"""A confusion matrix as an image: rows are labels, columns are predicted classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from PIL import Image, ImageDraw

from camlucida.errors import MethodError
from camlucida.render import text as words
from camlucida.render.canvas import (
    BODY_PT,
    GUTTER_PT,
    MARGIN_PT,
    MUTED_COLOUR,
    SMALL_PT,
    TEXT_COLOUR,
    Sheet,
    draw_footer,
    draw_heading,
    line_height,
)

MIN_CELL_PT, MAX_WIDTH_PT = 34.0, 460.0
NAME_WIDTH_PT = 150.0
CORRECT_COLOUR, WRONG_COLOUR, PAPER_COLOUR = (31, 120, 90), (190, 60, 40), (255, 255, 255)
"""Colours of full intensity on and off the diagonal, and the colour of the page."""


def draw_matrix(
    counts: NDArray[Any],
    names: Sequence[str],
    *,
    totals: NDArray[Any] | None = None,
    title: str,
    subtitle: str = "",
    footer: str = "",
    density: float = 2.0,
) -> Image.Image:
    """Draw a confusion matrix; each cell is shaded by its fraction of the row.

    Args:
        counts: Number of images `(m, m)` by label (row) and predicted class (column).
        names: Names of the classes.
        totals: Totals of the rows `(m,)`, if they include classes that are not displayed.
        title: Title of the page.
        subtitle: Text below the title.
        footer: Text below the matrix.
        density: Pixels per point.

    Returns:
        The page, RGB.

    Raises:
        MethodError: If the number of names differs from the number of rows.
    """
    if counts.shape != (len(names), len(names)) or not len(names):
        raise MethodError(f"a matrix of shape {counts.shape} with {len(names)} names.")
    row_totals = counts.sum(1) if totals is None else totals
    cell = max(MIN_CELL_PT, min(46.0, MAX_WIDTH_PT / len(names)))
    left = MARGIN_PT + NAME_WIDTH_PT + 10
    sheet = Sheet(max(left + cell * len(names) + 60 + MARGIN_PT, 620), density)
    y = draw_heading(sheet, MARGIN_PT, MARGIN_PT - 10, sheet.width - 2 * MARGIN_PT, (title, subtitle)) + GUTTER_PT
    y = _draw_column_names(sheet, left, y, names, cell)
    for row, name in enumerate(names):
        middle = y + (cell - line_height(BODY_PT)) / 2
        sheet.text(left - 10, middle, sheet.fit_name(name, BODY_PT, NAME_WIDTH_PT), BODY_PT, TEXT_COLOUR, "right")
        for column in range(len(names)):
            _draw_cell(
                sheet, left + column * cell, y, cell, int(counts[row, column]), int(row_totals[row]), row == column
            )
        sheet.text(left + cell * len(names) + 10, middle, f"of {int(row_totals[row]):,}", SMALL_PT, MUTED_COLOUR)
        y += cell
    return sheet.trimmed(draw_footer(sheet, y, footer))


def _draw_cell(sheet: Sheet, x: float, y: float, size: float, count: int, total: int, diagonal: bool) -> None:
    depth = (count / max(total, 1)) ** 0.5  # square root, so that one of a hundred is still visible
    full = CORRECT_COLOUR if diagonal else WRONG_COLOUR
    colour = tuple(round(p + (f - p) * depth) for p, f in zip(PAPER_COLOUR, full, strict=True))
    sheet.rectangle(x, y, size - 1.5, size - 1.5, "#f6f6f8" if not count else "#{:02x}{:02x}{:02x}".format(*colour))
    if count:
        ink = "#ffffff" if depth > 0.6 else TEXT_COLOUR
        count_text = sheet.fit_text(f"{count:,}", SMALL_PT, size - 3)
        sheet.text(
            x + (size - 1.5) / 2, y + (size - 1.5 - line_height(SMALL_PT)) / 2, count_text, SMALL_PT, ink, "centre"
        )


def _draw_column_names(sheet: Sheet, left: float, y: float, names: Sequence[str], cell: float) -> float:
    """Draw the names of the columns vertically, and return the y at which the cells begin."""
    size = BODY_PT * sheet.density
    cut_names = [sheet.fit_name(name, BODY_PT, NAME_WIDTH_PT) for name in names]
    name_height = max(sheet.text_width(name, BODY_PT) for name in cut_names) + 8
    sheet.rectangle(left, y + name_height, 1, 1, "#ffffff")  # extends the page
    for i, name in enumerate(cut_names):
        width = max(1, round(words.text_width(name, size))) + 2
        line = Image.new("RGB", (width, sheet.pixels(line_height(BODY_PT))), "#ffffff")
        words.draw_text(ImageDraw.Draw(line), 0, 1.06 * size, name, size, TEXT_COLOUR)
        rotated = line.rotate(90, expand=True)
        x = left + i * cell + (cell - line_height(BODY_PT)) / 2
        sheet.draw_image(x, y + name_height - 6 - rotated.height / sheet.density, rotated)
    return y + name_height
