"""A page on which text and images are placed. Lengths are in points, and `density` pixels make one point.

A page has a fixed width and grows downwards; `Sheet.trimmed` crops it below its content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from PIL import Image, ImageDraw

from camlucida.render import text as words
from camlucida.render.page import Element, ImageElement, Page, RectangleElement, TextElement, recorded_pages

PAPER_COLOUR = "#ffffff"
TEXT_COLOUR = "#1c1c21"
MUTED_COLOUR = "#71737c"
HAIRLINE_COLOUR = "#e2e3e8"
TRACK_COLOUR = "#f0f0f3"
QUIET_COLOUR = "#a9acb6"
ACCENT_COLOUR = "#c8322b"

TITLE_PT, LEAD_PT, BODY_PT, SMALL_PT = 27.0, 14.0, 13.0, 11.0
"""Font sizes in points."""
MARGIN_PT, GUTTER_PT = 44.0, 22.0

Align = Literal["left", "right", "centre"]
Item = TypeVar("Item")


class Sheet:
    """A page. Every element is placed by its top left corner (x, y) in points.

    Args:
        width: Width in points.
        density: Pixels per point.
    """

    def __init__(self, width: float, density: float) -> None:
        self.width = width
        self.density = density
        self.image = Image.new("RGB", (self.pixels(width), self.pixels(600)), PAPER_COLOUR)
        self._elements: list[Element] = []

    def pixels(self, points: float) -> int:
        """Return a length in points as pixels, at least 1."""
        return max(1, round(points * self.density))

    def text(
        self,
        x: float,
        y: float,
        line: str,
        size: float = BODY_PT,
        colour: str = TEXT_COLOUR,
        align: Align = "left",
        bold: bool = False,
    ) -> None:
        """Draw one line of text in a box of height `line_height(size)`.

        Args:
            x: Position in points of the end that `align` selects.
            y: Top of the line in points.
            line: The text.
            size: Font size in points.
            colour: Colour of the text.
            align: Which end of the line is at `x`.
            bold: Whether to draw it in bold.
        """
        self._extend_to(y + line_height(size))
        line = words.drawable(line)
        height = size * self.density
        left = x * self.density
        if align != "left":
            left -= words.text_width(line, height) / (1 if align == "right" else 2)
        baseline = (y + 1.06 * size) * self.density
        words.draw_text(ImageDraw.Draw(self.image), left, baseline, line, height, colour, bold=bold)
        if recorded_pages() is not None and line:
            width = words.text_width(line, height) / self.density
            self._elements.append(
                TextElement(left / self.density, baseline / self.density, line, size, width, colour, bold)
            )

    def fit_text(self, line: str, size: float, max_width: float) -> str:
        """Return the line, truncated to `max_width` points."""
        return words.truncate(words.drawable(line), size * self.density, max_width * self.density)

    def fit_name(self, name: str, size: float, max_width: float) -> str:
        """Return a class name, truncated to `max_width` points."""
        return words.truncate_name(words.drawable(name), size * self.density, max_width * self.density)

    def wrap_text(self, text: str, size: float, max_width: float, max_lines: int) -> list[str]:
        """Return the text as at most `max_lines` lines of `max_width` points."""
        return words.wrap_lines(words.drawable(text), size * self.density, max_width * self.density, max_lines)

    def text_width(self, line: str, size: float) -> float:
        """Return the width of a line in points."""
        return words.text_width(words.drawable(line), size * self.density) / self.density

    def rule(self, x: float, y: float, length: float) -> None:
        """Draw a horizontal hairline."""
        self.rectangle(x, y, length, 0.75, HAIRLINE_COLOUR)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str, radius: float = 0) -> None:
        """Draw a filled rectangle, its corners rounded by `radius` points."""
        self._extend_to(y + height)
        size = self.pixels(width), self.pixels(height)
        corner = round(x * self.density), round(y * self.density)
        self.image.paste(colour, corner, _rounded_mask(size, radius * self.density))
        if recorded_pages() is not None:
            self._elements.append(RectangleElement(x, y, width, height, colour, radius))

    def draw_image(self, x: float, y: float, image: Image.Image, edge: bool = False) -> float:
        """Draw an image without resizing it.

        Args:
            x: Left edge in points.
            y: Top edge in points.
            image: The image; one of its pixels is one pixel of the page.
            edge: Whether to draw a hairline around it.

        Returns:
            The height of the image in points.
        """
        self._extend_to(y + image.height / self.density)
        left, top = round(x * self.density), round(y * self.density)
        if edge:
            box = (left - 1, top - 1, left + image.width, top + image.height)
            ImageDraw.Draw(self.image).rectangle(box, outline=HAIRLINE_COLOUR)
        self.image.paste(image, (left, top))
        if recorded_pages() is not None:
            size = image.width / self.density, image.height / self.density
            self._elements.append(ImageElement(x, y, *size, image, HAIRLINE_COLOUR if edge else None))
        return image.height / self.density

    def trimmed(self, height: float) -> Image.Image:
        """Return the page, cropped or extended to a height in points."""
        self._extend_to(height)
        if (pages := recorded_pages()) is not None:
            pages.append(Page(self.width, height, tuple(self._elements)))
        return self.image.crop((0, 0, self.image.width, self.pixels(height)))

    def _extend_to(self, height: float) -> None:
        needed = self.pixels(height) + 2
        if needed > self.image.height:
            larger = Image.new("RGB", (self.image.width, 2 * needed), PAPER_COLOUR)
            larger.paste(self.image, (0, 0))
            self.image = larger


def line_height(size: float) -> float:
    """Return the distance between two lines of text in points."""
    return 1.38 * size


def draw_heading(sheet: Sheet, x: float, y: float, max_width: float, texts: tuple[str, str], aside: str = "") -> float:
    """Draw a title with a subtitle below it and a remark on the right.

    Args:
        sheet: The page.
        x: Left edge in points.
        y: Top edge in points.
        max_width: Width in points.
        texts: Title and subtitle.
        aside: The remark.

    Returns:
        The y at which the heading ends.
    """
    title, subtitle = texts
    if aside:
        aside = sheet.fit_text(aside, LEAD_PT, max_width / 2 - GUTTER_PT)
        same_baseline = 1.06 * (TITLE_PT - LEAD_PT)
        sheet.text(x + max_width, y + same_baseline, aside, LEAD_PT, ACCENT_COLOUR, "right", bold=True)
    title_width = max_width - (sheet.text_width(aside, LEAD_PT) + 2 * GUTTER_PT if aside else 0)
    y = draw_paragraph(sheet, x, y, title, TITLE_PT, TEXT_COLOUR, title_width, max_lines=2, bold=True)
    return draw_paragraph(sheet, x, y + 4, subtitle, LEAD_PT, MUTED_COLOUR, max_width, max_lines=2)


def draw_paragraph(
    sheet: Sheet,
    x: float,
    y: float,
    text: str,
    size: float,
    colour: str,
    max_width: float,
    max_lines: int,
    bold: bool = False,
) -> float:
    """Draw a text in at most `max_lines` lines, and return the y at which it ends."""
    for line in sheet.wrap_text(text, size, max_width, max_lines):
        sheet.text(x, y, line, size, colour, bold=bold)
        y += line_height(size)
    return y


def draw_footer(sheet: Sheet, y: float, text: str) -> float:
    """Draw a line of text below all other content, and return the height of the finished page."""
    if not text:
        return y + MARGIN_PT - 12
    content_width = sheet.width - 2 * MARGIN_PT
    sheet.rule(MARGIN_PT, y + 16, content_width)
    sheet.text(MARGIN_PT, y + 25, sheet.fit_text(text, SMALL_PT, content_width), SMALL_PT, MUTED_COLOUR)
    return y + 25 + line_height(SMALL_PT) + MARGIN_PT - 18


def draw_rows(
    items: Sequence[Item],
    columns: int,
    x: float,
    y: float,
    step: float,
    row_gap: float,
    draw: Callable[[float, float, Item], float],
) -> float:
    """Draw items in rows, from left to right, and return the y at which the last row ends.

    Args:
        items: The items.
        columns: Number of items in a row.
        x: Left edge of every row.
        y: Top of the first row.
        step: Distance between the left edges of neighbours.
        row_gap: Distance from the end of the longest item of a row to the next row.
        draw: Draws an item with its top left corner at (x, y), and returns the y at which it ends.
    """
    end = y
    for start in range(0, len(items), columns):
        end = max(draw(x + i * step, y, item) for i, item in enumerate(items[start : start + columns]))
        y = end + row_gap
    return end


def stack_pages(pages: Sequence[Image.Image]) -> Image.Image:
    """Return one page with all pages below each other, aligned on the left, as wide as the widest.

    Args:
        pages: The pages, RGB, at least one.
    """
    stacked = Image.new("RGB", (max(page.width for page in pages), sum(page.height for page in pages)), PAPER_COLOUR)
    top = 0
    for page in pages:
        stacked.paste(page, (0, top))
        top += page.height
    return stacked


def _rounded_mask(size: tuple[int, int], radius: float) -> Image.Image:
    """Return a mask with rounded corners, anti-aliased by drawing it at four times the size."""
    if radius <= 0:
        return Image.new("L", size, 255)
    large = Image.new("L", (4 * size[0], 4 * size[1]), 0)
    box = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, min(4 * radius, min(large.size) / 2), fill=255)
    return large.resize(size, Image.Resampling.BOX)
