"""A page of concepts: images beside their concept maps, with a legend of colours and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
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
    draw_paragraph,
    draw_rows,
    line_height,
)
from camlucida.render.overlay import tint
from camlucida.render.palettes import CATEGORICAL_COLOURS
from camlucida.render.resize import display_size, resize_heatmap, resize_image
from camlucida.render.text import format_percent

MAX_CONCEPTS = len(CATEGORICAL_COLOURS)
"""Maximum number of concepts; more colours could not be distinguished."""

COLUMN_PT = 300.0
SMALL_COLUMN_PT, GAP_PT, ROW_GAP_PT = 227.0, 12.0, 18.0
MAX_ASPECT = 1.4
BADGE_PT = 15.0
MIN_BADGE_STRENGTH = 0.35
"""Minimum strength of a concept in an image for its number to be drawn there."""


@dataclass(frozen=True)
class LegendEntry:
    """One entry of the legend.

    Attributes:
        name: Name of the concept.
        fraction: Fraction of the total activation, in [0, 1].
        classes: Names of classes with their probabilities or values, as text.
    """

    name: str
    fraction: float
    classes: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class ConceptImage:
    """An image with its concept maps.

    Attributes:
        image: The image.
        strengths: Strength of each concept `(n, height, width)`, in [0, 1]; NaN where the network input does not cover
            the image.
        caption: Text below the image.
    """

    image: Image.Image
    strengths: NDArray[Any]
    caption: str = ""


def concept_page(
    images: Sequence[ConceptImage],
    entries: Sequence[LegendEntry],
    *,
    title: str,
    subtitle: str = "",
    aside: str = "",
    note: str = "",
    footer: str = "",
    opacity: float = 0.5,
    density: float = 2.0,
) -> Image.Image:
    """Draw a page of concepts.

    The legend is beside a single image, and above several images, which are arranged in rows of two.

    Args:
        images: One or more images. A concept has the same colour in all of them.
        entries: One entry per concept, at most `MAX_CONCEPTS`.
        title: Title of the page.
        subtitle: Text below the title.
        aside: A remark on the right of the title.
        note: An important remark, highlighted.
        footer: Text below all other content.
        opacity: As in `camlucida.render.overlay.tint`.
        density: Pixels per point.

    Returns:
        The page, RGB, 1032 points wide.

    Raises:
        MethodError: If there are no images, or no concepts or too many, or sizes differ.
    """
    if not images or not 1 <= len(entries) <= MAX_CONCEPTS:
        raise MethodError(
            f"{len(images)} images and {len(entries)} concepts: a page needs at least one image, and 1 to "
            f"{MAX_CONCEPTS} concepts."
        )
    sheet = Sheet(3 * COLUMN_PT + 2 * GUTTER_PT + 2 * MARGIN_PT, density)
    content_width = sheet.width - 2 * MARGIN_PT
    y = draw_heading(sheet, MARGIN_PT, MARGIN_PT - 10, content_width, (title, subtitle), aside)
    if note:
        y = draw_paragraph(sheet, MARGIN_PT, y + 9, note, BODY_PT, ACCENT_COLOUR, content_width, max_lines=3)
    y += 20
    if len(images) == 1:
        y = max(
            _draw_pair(sheet, MARGIN_PT, y, images[0], COLUMN_PT, GUTTER_PT, opacity),
            _draw_legend(sheet, MARGIN_PT + 2 * (COLUMN_PT + GUTTER_PT), y - 2, entries, 1),
        )
    else:
        y = _draw_legend(sheet, MARGIN_PT, y, entries, 3) + 10

        def draw(x: float, y: float, concept_image: ConceptImage) -> float:
            return _draw_pair(sheet, x, y, concept_image, SMALL_COLUMN_PT, GAP_PT, opacity)

        y = draw_rows(images, 2, MARGIN_PT, y, 2 * (SMALL_COLUMN_PT + GAP_PT), ROW_GAP_PT, draw)
    return sheet.trimmed(draw_footer(sheet, y, footer))


def _draw_pair(
    sheet: Sheet, x: float, y: float, concept_image: ConceptImage, width: float, gap: float, opacity: float
) -> float:
    """Draw the image beside its concept map, and return the y at which the caption ends."""
    if concept_image.strengths.shape[1:] != concept_image.image.size[::-1]:
        raise MethodError(
            f"maps of shape {concept_image.strengths.shape} do not fit an image of size {concept_image.image.size}."
        )
    size = display_size(concept_image.image.size, (sheet.pixels(width), sheet.pixels(MAX_ASPECT * width)))
    photo = resize_image(concept_image.image, size)
    strengths = np.stack([resize_heatmap(strength_map, size) for strength_map in concept_image.strengths])
    end = y + sheet.draw_image(x, y, photo, edge=True)
    right = x + width + gap
    sheet.draw_image(
        right, y, tint(photo, strengths, CATEGORICAL_COLOURS[: len(strengths)], opacity=opacity), edge=True
    )
    for number, (across, down) in _badge_positions(strengths).items():
        at_x = min(max(across / sheet.density - BADGE_PT / 2, 2), size[0] / sheet.density - BADGE_PT - 2)
        at_y = min(max(down / sheet.density - BADGE_PT / 2, 2), size[1] / sheet.density - BADGE_PT - 2)
        _draw_badge(sheet, round(right + at_x), round(y + at_y), number)
    if not concept_image.caption:
        return end
    sheet.text(x, end + 4, sheet.fit_text(concept_image.caption, SMALL_PT, 2 * width), SMALL_PT, MUTED_COLOUR)
    return end + 4 + line_height(SMALL_PT)


def _badge_positions(strengths: NDArray[np.float32]) -> dict[int, tuple[int, int]]:
    """Return the positions (x, y) of the concepts' numbers: the maximum of each concept.

    Concepts that are weak, or weaker than another one at that position, have no number.
    """
    positions = {}
    maps = np.nan_to_num(strengths)
    for number, concept_map in enumerate(maps):
        rows, columns = np.nonzero(concept_map >= concept_map.max() - 1e-6)
        middle = len(rows) // 2
        y, x = int(rows[middle]), int(columns[middle])
        if concept_map[y, x] >= MIN_BADGE_STRENGTH and maps[:, y, x].argmax() == number:
            positions[number] = (x, y)
    return positions


def _draw_badge(sheet: Sheet, x: float, y: float, number: int) -> None:
    """Draw a concept's number on its colour."""
    sheet.rectangle(x - 1, y - 1, BADGE_PT + 2, BADGE_PT + 2, "#ffffff", radius=BADGE_PT / 2 + 1)
    sheet.rectangle(x, y, BADGE_PT, BADGE_PT, f"#{CATEGORICAL_COLOURS[number]}", radius=BADGE_PT / 2)
    sheet.text(
        x + BADGE_PT / 2,
        y + 0.5,
        str(number + 1),
        SMALL_PT - 1,
        _text_colour(CATEGORICAL_COLOURS[number]),
        "centre",
        bold=True,
    )


def _text_colour(colour: str) -> str:
    """Return black or white, whichever is legible on the colour."""
    red, green, blue = bytes.fromhex(colour)
    return TEXT_COLOUR if 0.3 * red + 0.6 * green + 0.1 * blue > 150 else "#ffffff"


def _draw_legend(sheet: Sheet, x: float, y: float, entries: Sequence[LegendEntry], columns: int) -> float:
    """Draw every concept with its colour, fraction and classes, and return the y at which the last one ends."""

    def draw(x: float, y: float, numbered: tuple[int, LegendEntry]) -> float:
        return _draw_entry(sheet, x, y, *numbered)

    return draw_rows(list(enumerate(entries)), columns, x, y, COLUMN_PT + GUTTER_PT, 9, draw) + 9


def _draw_entry(sheet: Sheet, x: float, y: float, number: int, entry: LegendEntry) -> float:
    """Draw one concept of the legend, and return the y at which it ends."""
    _draw_badge(sheet, x, y + 2, number)
    left, end = x + BADGE_PT + 9, x + COLUMN_PT
    sheet.text(left, y, entry.name, BODY_PT, TEXT_COLOUR, bold=True)
    sheet.text(end, y + 1, f"{format_percent(entry.fraction)} of the activation", SMALL_PT, MUTED_COLOUR, "right")
    y += line_height(BODY_PT)
    for name, value in entry.classes:
        sheet.text(left, y, sheet.fit_name(name, SMALL_PT, end - left - 52), SMALL_PT, TEXT_COLOUR)
        sheet.text(end, y, value, SMALL_PT, MUTED_COLOUR, "right")
        y += line_height(SMALL_PT)
    return y
