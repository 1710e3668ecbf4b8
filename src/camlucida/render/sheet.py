"""A sheet of paper to set text and pictures on. Measures are points; `density` pixels make one point.

A sheet is as wide as asked and grows downwards; `trimmed` cuts it under what was set.
"""

from __future__ import annotations

from typing import Literal

from PIL import Image, ImageDraw

from camlucida.render import text as words

PAPER = "#ffffff"
INK = "#1c1c21"
MUTED = "#71737c"
HAIRLINE = "#e2e3e8"
TRACK = "#f0f0f3"
QUIET = "#a9acb6"
ACCENT = "#c8322b"

TITLE, LEAD, BODY, SMALL = 27.0, 14.0, 13.0, 11.0
"""Sizes of type."""
MARGIN, GUTTER = 44.0, 22.0

Align = Literal["left", "right", "centre"]


class Sheet:
    """Where things are put: everything is placed by its top left corner, (x, y) in points."""

    def __init__(self, width: float, density: float) -> None:
        self.width = width
        self.density = density
        self.image = Image.new("RGB", (self.pixels(width), self.pixels(600)), PAPER)

    def pixels(self, points: float) -> int:
        return max(1, round(points * self.density))

    def text(
        self,
        x: float,
        y: float,
        line: str,
        size: float = BODY,
        colour: str = INK,
        align: Align = "left",
        bold: bool = False,
    ) -> None:
        """One line in a box `line_height(size)` high; `align` says which end of it is at x."""
        self._make_room(y + line_height(size))
        line = words.drawable(line)
        height = size * self.density
        at = x * self.density
        if align != "left":
            at -= words.width(line, height) / (1 if align == "right" else 2)
        baseline = (y + 1.06 * size) * self.density
        words.draw(ImageDraw.Draw(self.image), at, baseline, line, height, colour, bold=bold)

    def fits(self, line: str, size: float, room: float) -> str:
        """The line, cut to `room` points."""
        return words.cut(words.drawable(line), size * self.density, room * self.density)

    def name_fits(self, name: str, size: float, room: float) -> str:
        """A class name, cut to `room` points."""
        return words.cut_name(words.drawable(name), size * self.density, room * self.density)

    def lines(self, text: str, size: float, room: float, most: int) -> list[str]:
        """The text in at most `most` lines of `room` points."""
        return words.wrap(words.drawable(text), size * self.density, room * self.density, most)

    def text_width(self, line: str, size: float) -> float:
        """In points."""
        return words.width(words.drawable(line), size * self.density) / self.density

    def rule(self, x: float, y: float, length: float) -> None:
        """A hairline."""
        self.block(x, y, length, 0.75, HAIRLINE)

    def block(self, x: float, y: float, width: float, height: float, colour: str, radius: float = 0) -> None:
        """A filled rectangle, its corners rounded by `radius` points."""
        self._make_room(y + height)
        size = self.pixels(width), self.pixels(height)
        corner = round(x * self.density), round(y * self.density)
        self.image.paste(colour, corner, _rounded(size, radius * self.density))

    def picture(self, x: float, y: float, picture: Image.Image, edge: bool = False) -> float:
        """A picture, pixel for pixel; returns its height in points. `edge` draws a hairline round it."""
        self._make_room(y + picture.height / self.density)
        left, top = round(x * self.density), round(y * self.density)
        if edge:
            box = (left - 1, top - 1, left + picture.width, top + picture.height)
            ImageDraw.Draw(self.image).rectangle(box, outline=HAIRLINE)
        self.image.paste(picture, (left, top))
        return picture.height / self.density

    def trimmed(self, height: float) -> Image.Image:
        """The sheet, `height` points high."""
        self._make_room(height)
        return self.image.crop((0, 0, self.image.width, self.pixels(height)))

    def _make_room(self, height: float) -> None:
        needed = self.pixels(height) + 2
        if needed > self.image.height:
            larger = Image.new("RGB", (self.image.width, 2 * needed), PAPER)
            larger.paste(self.image, (0, 0))
            self.image = larger


def line_height(size: float) -> float:
    """From one line to the next."""
    return 1.38 * size


def heading(sheet: Sheet, x: float, y: float, room: float, texts: tuple[str, str], aside: str = "") -> float:
    """A title with a subtitle under it and a remark at the right; returns where it ends."""
    title, subtitle = texts
    if aside:
        aside = sheet.fits(aside, LEAD, room / 2 - GUTTER)
        same_baseline = 1.06 * (TITLE - LEAD)
        sheet.text(x + room, y + same_baseline, aside, LEAD, ACCENT, "right", bold=True)
    free = room - (sheet.text_width(aside, LEAD) + 2 * GUTTER if aside else 0)
    y = paragraph(sheet, x, y, title, TITLE, INK, free, most=2, bold=True)
    return paragraph(sheet, x, y + 4, subtitle, LEAD, MUTED, room, most=2)


def paragraph(
    sheet: Sheet,
    x: float,
    y: float,
    text: str,
    size: float,
    colour: str,
    room: float,
    most: int,
    bold: bool = False,
) -> float:
    """The text in at most so many lines; returns where they end."""
    for line in sheet.lines(text, size, room, most):
        sheet.text(x, y, line, size, colour, bold=bold)
        y += line_height(size)
    return y


def footer(sheet: Sheet, y: float, text: str) -> float:
    """A line under everything; returns the height of the finished sheet."""
    if not text:
        return y + MARGIN - 12
    room = sheet.width - 2 * MARGIN
    sheet.rule(MARGIN, y + 16, room)
    sheet.text(MARGIN, y + 25, sheet.fits(text, SMALL, room), SMALL, MUTED)
    return y + 25 + line_height(SMALL) + MARGIN - 18


def _rounded(size: tuple[int, int], radius: float) -> Image.Image:
    """A mask with smooth corners: drawn four times as large, because Pillow's own are jagged."""
    if radius <= 0:
        return Image.new("L", size, 255)
    large = Image.new("L", (4 * size[0], 4 * size[1]), 0)
    box = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, min(4 * radius, min(large.size) / 2), fill=255)
    return large.resize(size, Image.Resampling.BOX)
