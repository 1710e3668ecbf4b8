"""Film strip of a text: one overlay per word, with the sentence below it and the current word marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.canvas import (
    ACCENT_COLOUR,
    BODY_PT,
    GUTTER_PT,
    MARGIN_PT,
    MUTED_COLOUR,
    SMALL_PT,
    TEXT_COLOUR,
    Sheet,
    draw_footer,
    draw_heading,
    draw_rows,
    line_height,
)
from camlucida.render.overlay import Blend, overlay
from camlucida.render.palettes import DEFAULT_COLORMAP
from camlucida.render.resize import display_size, resize_heatmap, resize_image

MAX_COLUMNS = 6
PANEL_WIDTH_PT, GAP_PT, ROW_GAP_PT = 150.0, 12.0, 18.0
MAX_LINES = 6
"""Largest number of lines of the sentence below a panel; the lines around the current word are kept."""
MAX_ASPECT = 1.4


@dataclass(frozen=True)
class WordFrame:
    """One word with its map.

    Attributes:
        word: The word.
        heatmap: Map `(height, width)` in [0, 1].
        caption: Text beside the word, such as its probability.
        position: Index of the word in the sentence.
        colormap: Name of the colour map, if it differs from that of the page.
    """

    word: str
    heatmap: NDArray[Any]
    caption: str
    position: int
    colormap: str | None = None


def draw_word_strip(
    image: Image.Image,
    frames: Sequence[WordFrame],
    sentence: Sequence[str],
    *,
    title: str,
    subtitle: str = "",
    footer: str = "",
    opacity: float = 0.5,
    colormap: str = DEFAULT_COLORMAP,
    blend: Blend = "saliency",
    density: float = 2.0,
) -> Image.Image:
    """Draw a page with one panel per word, in rows of at most `MAX_COLUMNS`.

    Args:
        image: The image.
        frames: The words that have a map.
        sentence: All words of the text, in order.
        title: Title of the page, such as the whole text.
        subtitle: Text below the title.
        footer: Text below all other content.
        opacity: As in `overlay`.
        colormap: Name of the colour map.
        blend: As in `overlay`.
        density: Pixels per point.

    Returns:
        The page, RGB.

    Raises:
        MethodError: There is no word.
    """
    if not frames:
        raise MethodError("a strip of words needs at least one word.")
    columns = min(max(len(frames), 3), MAX_COLUMNS)
    content_width = columns * (PANEL_WIDTH_PT + GAP_PT) - GAP_PT
    sheet = Sheet(content_width + 2 * MARGIN_PT, density)
    y = draw_heading(sheet, MARGIN_PT, MARGIN_PT - 10, content_width, (title, subtitle), "") + GUTTER_PT
    height = PANEL_WIDTH_PT * min(MAX_ASPECT, image.height / image.width)
    size = display_size(image.size, (sheet.pixels(PANEL_WIDTH_PT), sheet.pixels(height)))
    photo = resize_image(image, size)

    def draw(x: float, y: float, frame: WordFrame) -> float:
        word = sheet.fit_text(frame.word, BODY_PT, PANEL_WIDTH_PT * 0.62)
        sheet.text(x, y, word, BODY_PT, TEXT_COLOUR, bold=True)
        caption = sheet.fit_text(frame.caption, SMALL_PT, PANEL_WIDTH_PT * 0.36)
        sheet.text(x + PANEL_WIDTH_PT, y + 2, caption, SMALL_PT, MUTED_COLOUR, align="right")
        top = y + line_height(BODY_PT) + 4
        heatmap = resize_heatmap(frame.heatmap, size)
        drawn = overlay(photo, heatmap, opacity=opacity, colormap=frame.colormap or colormap, blend=blend)
        end = top + sheet.draw_image(x, top, drawn, edge=True) + 5
        return _draw_sentence(sheet, x, end, sentence, frame.position)

    below = draw_rows(frames, columns, MARGIN_PT, y, PANEL_WIDTH_PT + GAP_PT, ROW_GAP_PT, draw)
    return sheet.trimmed(draw_footer(sheet, below, footer))


def _draw_sentence(sheet: Sheet, x: float, y: float, sentence: Sequence[str], current: int) -> float:
    """Draw a sentence with one word marked, and return the y at which it ends."""
    space = sheet.text_width(" ", SMALL_PT) or SMALL_PT / 4
    lines: list[list[tuple[int, str, float]]] = [[]]
    left = 0.0
    for position, word in enumerate(sentence):
        shown = sheet.fit_text(word, SMALL_PT, PANEL_WIDTH_PT)
        width = sheet.text_width(shown, SMALL_PT) * (1.08 if position == current else 1.0)  # bold letters are wider
        if lines[-1] and left + width > PANEL_WIDTH_PT:
            lines.append([])
            left = 0.0
        lines[-1].append((position, shown, left))
        left += width + space
    at = next((i for i, line in enumerate(lines) if any(position == current for position, *_ in line)), 0)
    first = max(0, min(at - MAX_LINES // 2, len(lines) - MAX_LINES))
    for line in lines[first : first + MAX_LINES]:
        for position, shown, left in line:
            is_current = position == current
            colour = ACCENT_COLOUR if is_current else MUTED_COLOUR
            sheet.text(x + left, y, shown, SMALL_PT, colour, bold=is_current)
        y += line_height(SMALL_PT)
    return y
