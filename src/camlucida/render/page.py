"""What was drawn on a page, as data, so that it can be written with text as text: `render.svg` and `render.pdf`.

A `Sheet` draws pixels. While `record_pages` is active it also records its elements, in points from the top left corner.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image

DPI = 300
"""Pixels per inch of the images in vector files."""
DENSITY = DPI / 72
"""The same in pixels per point."""


@dataclass(frozen=True)
class TextElement:
    """One line of text.

    Attributes:
        x: Left end.
        baseline: The y of its baseline.
        text: The line, in characters that some font has.
        size: Font size.
        width: Width of the line.
        colour: Colour as #rrggbb.
        bold: Whether the letters are thickened by `render.text.BOLD_STROKE`.
    """

    x: float
    baseline: float
    text: str
    size: float
    width: float
    colour: str
    bold: bool


@dataclass(frozen=True)
class RectangleElement:
    """A filled rectangle with corners rounded by `radius`."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    radius: float


@dataclass(frozen=True)
class ImageElement:
    """An image; `edge` is the colour of the hairline around it, or None."""

    x: float
    y: float
    width: float
    height: float
    image: Image.Image
    edge: str | None


Element: TypeAlias = TextElement | RectangleElement | ImageElement


@dataclass(frozen=True)
class Page:
    """A finished page; all lengths are in points.

    Attributes:
        width: Width of the page.
        height: Height of the page.
        elements: What is on it; later elements cover earlier ones.
    """

    width: float
    height: float
    elements: tuple[Element, ...]


_recording: ContextVar[list[Page] | None] = ContextVar("camlucida_recorded_pages", default=None)


@contextmanager
def record_pages() -> Iterator[list[Page]]:
    """Record the pages that are drawn in the block, in this thread; draw them with `DENSITY`.

    Yields:
        The pages, in the order in which they are finished.
    """
    pages: list[Page] = []
    token = _recording.set(pages)
    try:
        yield pages
    finally:
        _recording.reset(token)


def recorded_pages() -> list[Page] | None:
    """Return the list to which finished pages are added; None where nothing is recorded."""
    return _recording.get()
