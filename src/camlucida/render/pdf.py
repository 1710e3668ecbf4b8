"""Write pages as PDF: text as text in subsets of the fonts, images as they are, with `fpdf2`."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from camlucida._escaping import printable
from camlucida._optional import need
from camlucida.render.canvas import PAPER_COLOUR
from camlucida.render.fonts import BUNDLED_FONT, font_runs, load_font
from camlucida.render.page import DENSITY, Element, ImageElement, Page, RectangleElement, TextElement
from camlucida.render.text import BOLD_STROKE, draw_text

HAIRLINE_PT = 1 / DENSITY
RASTER_PADDING = 0.5
"""Space around a line that is drawn as an image, as a fraction of the font size."""


def pdf_file(pages: Sequence[Page], title: str, creator: str = "camlucida") -> bytes:
    """Return a PDF file with one page for each page.

    Text in a script that is written from right to left or that needs combined letters, and in a font that cannot be
    embedded, is drawn as an image with `DENSITY` pixels per point.

    Args:
        pages: The pages, at least one.
        title: The title of the file.
        creator: The program that is named as its creator.

    Raises:
        MissingExtra: If fpdf2 is not installed.
    """
    fpdf = need("fpdf", extra="pdf", what="writing a PDF file")
    pdf = fpdf.FPDF(unit="pt")
    pdf.set_auto_page_break(False)
    pdf.set_title(printable(title, lines=False))
    pdf.set_creator(creator)
    pdf.set_lang("en")
    writer = _Writer(pdf, fpdf.enums.TextMode.FILL_STROKE)
    for page in pages:
        # fpdf2 would exchange the two numbers of a page that is wider than high
        pdf.add_page(format=(page.width, page.height), orientation="P")
        for element in page.elements:
            writer.draw(element)
    return bytes(pdf.output())


class _Writer:
    """Draws elements on the current page of an `fpdf.FPDF`, and knows which fonts it has."""

    def __init__(self, pdf: Any, outlined: Any) -> None:
        self.pdf, self.outlined = pdf, outlined
        self._families: dict[Path, str | None] = {}

    def draw(self, element: Element) -> None:
        match element:
            case TextElement():
                self._text(element)
            case RectangleElement(x, y, width, height, colour, radius):
                self.pdf.set_fill_color(colour)
                radius = min(radius, width / 2, height / 2)
                self.pdf.rect(x, y, width, height, style="F", round_corners=radius > 0, corner_radius=radius)
            case ImageElement(x, y, width, height, image, edge):
                if edge:
                    self.pdf.set_draw_color(edge)
                    self.pdf.set_line_width(2 * HAIRLINE_PT)  # the image covers the inner half
                    self.pdf.rect(x, y, width, height)
                self.pdf.image(image.convert("RGB"), x, y, width, height)

    def _text(self, element: TextElement) -> None:
        x, pixels = element.x, element.size * DENSITY
        runs = font_runs(element.text)
        families = [self._family(path) for _, path in runs]
        if None in families or not all(map(_is_simple, element.text)):
            self._as_image(element)
            return
        for (run, path), family in zip(runs, families, strict=True):
            with self.pdf.local_context():
                self.pdf.set_font(family, size=element.size)
                self.pdf.set_text_color(element.colour)
                if element.bold:
                    self.pdf.text_mode = self.outlined
                    self.pdf.set_draw_color(element.colour)
                    self.pdf.set_line_width(2 * element.size * BOLD_STROKE)
                self.pdf.text(x, element.baseline, run)
            x += load_font(pixels, path).getlength(run) / DENSITY

    def _family(self, path: Path) -> str | None:
        """Return the name of a font in the file; None if it cannot be embedded."""
        if path not in self._families:
            family = f"font{len(self._families)}"
            try:
                self.pdf.add_font(family, fname=path)
            except Exception:  # fonttools raises errors of many kinds for fonts that it does not know
                if path == BUNDLED_FONT:
                    raise
                self._families[path] = None
            else:
                self._families[path] = family
        return self._families[path]

    def _as_image(self, element: TextElement) -> None:
        size = element.size * DENSITY
        padding = round(RASTER_PADDING * size)
        width, height = round(element.width * DENSITY) + 2 * padding, round(size) + 2 * padding
        line = Image.new("RGB", (width, height), PAPER_COLOUR)
        draw_text(
            ImageDraw.Draw(line), padding, round(size) + padding, element.text, size, element.colour, bold=element.bold
        )
        left, top = element.x - padding / DENSITY, element.baseline - (round(size) + padding) / DENSITY
        self.pdf.image(
            line, left, top, width / DENSITY, height / DENSITY, alt_text=printable(element.text, lines=False)
        )


def _is_simple(character: str) -> bool:
    """Return whether a character is drawn from left to right, independently of the others."""
    return unicodedata.bidirectional(character) not in ("R", "AL", "AN") and not unicodedata.combining(character)
