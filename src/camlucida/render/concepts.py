"""A page of concepts: pictures beside what is where in them, and a legend of colours and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.display import show_heat, show_picture, shown_size
from camlucida.render.overlay import tinted
from camlucida.render.palettes import CATEGORIES
from camlucida.render.sheet import (
    ACCENT,
    BODY,
    GUTTER,
    INK,
    MARGIN,
    MUTED,
    SMALL,
    Sheet,
    heading,
    line_height,
    paragraph,
)
from camlucida.render.sheet import footer as set_footer
from camlucida.render.text import percent

MOST = len(CATEGORIES)
"""More colours could not be told apart."""

COLUMN = 300.0
SMALL_COLUMN, GAP, ROW_GAP = 227.0, 12.0, 18.0
TALLEST = 1.4
BADGE = 15.0
LEAST = 0.35
"""How strong a concept must be on a picture to have its number there."""


@dataclass(frozen=True)
class Entry:
    """A line of the legend: a concept's name, how much of all it is in [0, 1], and classes with probabilities."""

    name: str
    share: float
    classes: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class Shown:
    """A picture, and (n, height, width) how strong each concept is in it, in [0, 1]; NaN where nobody looked."""

    picture: Image.Image
    strengths: NDArray[Any]
    caption: str = ""


def concept_page(
    shown: Sequence[Shown],
    entries: Sequence[Entry],
    *,
    title: str,
    subtitle: str = "",
    aside: str = "",
    note: str = "",
    footer: str = "",
    opacity: float = 0.5,
    density: float = 2.0,
) -> Image.Image:
    """One picture with the legend beside it, or the legend and under it several pictures, two in a row.

    entries   one a concept, at most `MOST`; the same concept has the same colour in every picture
    note      a remark that must not be overlooked
    opacity   as of `render.tinted`
    returns   RGB, 1032 points wide
    """
    if not shown or not 1 <= len(entries) <= MOST:
        raise MethodError(f"{len(shown)} pictures, {len(entries)} concepts: a page shows 1 or more, and 1 to {MOST}.")
    sheet = Sheet(3 * COLUMN + 2 * GUTTER + 2 * MARGIN, density)
    room = sheet.width - 2 * MARGIN
    y = heading(sheet, MARGIN, MARGIN - 10, room, (title, subtitle), aside)
    if note:
        y = paragraph(sheet, MARGIN, y + 9, note, BODY, ACCENT, room, most=3)
    y += 20
    if len(shown) == 1:
        y = max(
            _pair(sheet, MARGIN, y, shown[0], COLUMN, GUTTER, opacity),
            _legend(sheet, MARGIN + 2 * (COLUMN + GUTTER), y - 2, entries, 1),
        )
    else:
        y = _legend(sheet, MARGIN, y, entries, 3) + 10
        for start in range(0, len(shown), 2):
            ends = [
                _pair(sheet, MARGIN + 2 * i * (SMALL_COLUMN + GAP), y, one, SMALL_COLUMN, GAP, opacity)
                for i, one in enumerate(shown[start : start + 2])
            ]
            y = max(ends) + ROW_GAP
        y -= ROW_GAP
    return sheet.trimmed(set_footer(sheet, y, footer))


def _pair(sheet: Sheet, x: float, y: float, one: Shown, width: float, gap: float, opacity: float) -> float:
    """The picture, and beside it the same with its concepts; returns where the caption ends."""
    if one.strengths.shape[1:] != one.picture.size[::-1]:
        raise MethodError(f"maps of shape {one.strengths.shape} do not fit a picture of size {one.picture.size}.")
    size = shown_size(one.picture.size, (sheet.pixels(width), sheet.pixels(TALLEST * width)))
    photo = show_picture(one.picture, size)
    strengths = np.stack([show_heat(each, size) for each in one.strengths])
    end = y + sheet.picture(x, y, photo, edge=True)
    right = x + width + gap
    sheet.picture(right, y, tinted(photo, strengths, CATEGORIES[: len(strengths)], opacity=opacity), edge=True)
    for number, (across, down) in _numbered(strengths).items():
        at_x = min(max(across / sheet.density - BADGE / 2, 2), size[0] / sheet.density - BADGE - 2)
        at_y = min(max(down / sheet.density - BADGE / 2, 2), size[1] / sheet.density - BADGE - 2)
        _badge(sheet, round(right + at_x), round(y + at_y), number)
    if not one.caption:
        return end
    sheet.text(x, end + 4, sheet.fits(one.caption, SMALL, 2 * width), SMALL, MUTED)
    return end + 4 + line_height(SMALL)


def _numbered(strengths: NDArray[np.float32]) -> dict[int, tuple[int, int]]:
    """The concepts that have their number on a picture, and where (x, y): each at its strongest place.

    Only where it is strong, and where its colour is seen since no other is stronger.
    """
    found = {}
    heat = np.nan_to_num(strengths)
    for number, one in enumerate(heat):
        rows, columns = np.nonzero(one >= one.max() - 1e-6)
        middle = len(rows) // 2
        y, x = int(rows[middle]), int(columns[middle])
        if one[y, x] >= LEAST and heat[:, y, x].argmax() == number:
            found[number] = (x, y)
    return found


def _badge(sheet: Sheet, x: float, y: float, number: int) -> None:
    """The concept's number on its colour."""
    sheet.block(x - 1, y - 1, BADGE + 2, BADGE + 2, "#ffffff", radius=BADGE / 2 + 1)
    sheet.block(x, y, BADGE, BADGE, f"#{CATEGORIES[number]}", radius=BADGE / 2)
    sheet.text(x + BADGE / 2, y + 0.5, str(number + 1), SMALL - 1, _on(CATEGORIES[number]), "centre", bold=True)


def _on(colour: str) -> str:
    """Black or white, whichever is read on the colour."""
    red, green, blue = bytes.fromhex(colour)
    return INK if 0.3 * red + 0.6 * green + 0.1 * blue > 150 else "#ffffff"


def _legend(sheet: Sheet, x: float, y: float, entries: Sequence[Entry], columns: int) -> float:
    """Every concept with its colour, its share and its classes; returns where the last one ends."""
    end = y
    for start in range(0, len(entries), columns):
        ends = [
            _entry(sheet, x + i * (COLUMN + GUTTER), end, start + i, entry)
            for i, entry in enumerate(entries[start : start + columns])
        ]
        end = max(ends) + 9
    return end


def _entry(sheet: Sheet, x: float, y: float, number: int, entry: Entry) -> float:
    _badge(sheet, x, y + 2, number)
    left, end = x + BADGE + 9, x + COLUMN
    sheet.text(left, y, entry.name, BODY, INK, bold=True)
    sheet.text(end, y + 1, f"{percent(entry.share)} of the activation", SMALL, MUTED, "right")
    y += line_height(BODY)
    for name, probability in entry.classes:
        sheet.text(left, y, sheet.name_fits(name, SMALL, end - left - 52), SMALL, INK)
        sheet.text(end, y, percent(probability), SMALL, MUTED, "right")
        y += line_height(SMALL)
    return y
