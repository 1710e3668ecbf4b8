"""Write pages as SVG: text as text, images as embedded PNG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from camlucida._escaping import printable
from camlucida._files import png
from camlucida.render.canvas import PAPER_COLOUR
from camlucida.render.page import Element, ImageElement, Page, RectangleElement, TextElement
from camlucida.render.text import BOLD_STROKE

FONT_FAMILY = "'DejaVu Sans Condensed', 'DejaVu Sans', Verdana, sans-serif"


def svg_file(pages: Sequence[Page], title: str) -> bytes:
    """Return an SVG file with all pages below each other, one unit of which is a point.

    The font is not embedded. `textLength` gives each line the width that it has in DejaVu Sans Condensed, so that the
    layout does not depend on the font that the viewer has.

    Args:
        pages: The pages, at least one.
        title: The title of the file.
    """
    width, height = max(page.width for page in pages), sum(page.height for page in pages)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_number(width)}pt" height="{_number(height)}pt"'
        f' viewBox="0 0 {_number(width)} {_number(height)}" font-family={quoteattr(FONT_FAMILY)} role="img">',
        f"<title>{_text(title)}</title>",
        f'<rect width="100%" height="100%" fill="{PAPER_COLOUR}"/>',
    ]
    top = 0.0
    for page in pages:
        lines += [f'<g transform="translate(0 {_number(top)})">', *map(_markup, page.elements), "</g>"]
        top += page.height
    return "\n".join([*lines, "</svg>\n"]).encode()


def _markup(element: Element) -> str:
    match element:
        case TextElement(x, baseline, text, size, width, colour, bold):
            # Bold letters are outlined, as on the raster: the font has one weight.
            stroke = f' stroke="{colour}" stroke-width="{_number(2 * size * BOLD_STROKE)}"' if bold else ""
            return (
                f'<text x="{_number(x)}" y="{_number(baseline)}" font-size="{_number(size)}" fill="{colour}"{stroke}'
                f' textLength="{_number(width)}" lengthAdjust="spacingAndGlyphs" xml:space="preserve">'
                f"{_text(text)}</text>"
            )
        case RectangleElement(x, y, width, height, colour, radius):
            corner = f' rx="{_number(min(radius, width / 2, height / 2))}"' if radius else ""
            return f'<rect {_box(x, y, width, height)}{corner} fill="{colour}"/>'
        case ImageElement(x, y, width, height, image, edge):
            outline = f'<rect {_box(x, y, width, height)} fill="none" stroke="{edge}"/>' if edge else ""
            data = base64.b64encode(png(image)).decode()
            return (
                f'{outline}<image {_box(x, y, width, height)} preserveAspectRatio="none"'
                f' href="data:image/png;base64,{data}"/>'
            )


def _box(x: float, y: float, width: float, height: float) -> str:
    return f'x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}"'


def _text(text: str) -> str:
    return escape(printable(text, lines=False))


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
