"""One explanation on one page: image, heatmap and overlay, the predictions, and the colour scale."""

from __future__ import annotations

from collections.abc import Sequence
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
    Sheet,
    draw_footer,
    draw_heading,
    draw_paragraph,
    line_height,
)
from camlucida.render.class_mask import draw_classes, draw_legend
from camlucida.render.colours import apply_colormap, check_colormap, check_heatmap
from camlucida.render.overlay import Blend, overlay
from camlucida.render.palettes import DEFAULT_COLORMAP
from camlucida.render.probability_bars import Bar, draw_bars, draw_colorbar, draw_label
from camlucida.render.regions import draw_region
from camlucida.render.resize import display_size, resize_heatmap, resize_image, stretch_note
from camlucida.types import Region

COLUMN_PT, MAX_HEIGHT_PT = 300.0, 400.0
STRIP_ASPECT = 2.6
"""Ratio of width to height above which the three images are arranged vertically."""

CAPTIONS: tuple[str, ...] = ("Image", "Heatmap", "Overlay")
CLASSES_CAPTION = "Predicted classes"
COLOUR_CAPTIONS: tuple[str, ...] = ("Image", "Signed map in colour, grey is zero", "Overlay of its reduction")


def draw_panel(
    image: Image.Image,
    heatmap: NDArray[Any],
    bars: Sequence[Bar] = (),
    *,
    title: str,
    subtitle: str = "",
    score_label: str = "",
    note: str = "",
    footer: str = "",
    scale: tuple[float, float] | None = None,
    opacity: float = 0.5,
    colormap: str = DEFAULT_COLORMAP,
    blend: Blend = "saliency",
    contour: float | None = None,
    colour: Image.Image | None = None,
    region: Region | None = None,
    density: float = 2.0,
) -> Image.Image:
    """Draw a page about one explanation.

    Args:
        image: An image of any size; displayed 300 points wide (944 for strips), enlarged or reduced.
        heatmap: Map `(height, width)`, float in [0, 1], NaN where the network input does not cover the image.
        bars: The predictions, best first; the explained class is drawn in the accent colour.
        title: The class, e.g. "Labrador retriever".
        subtitle: Method and layer, e.g. "Grad-CAM · layer4".
        score_label: The score, on the right of the title, e.g. "logit 14.2".
        note: An important remark, highlighted, e.g. the verdict on the map.
        footer: Model and versions.
        scale: Raw values of the map at 0 and 1, for the colour scale.
        opacity: As in `overlay`.
        colormap: Name of the colour map.
        blend: As in `overlay`.
        contour: As in `overlay`.
        colour: The map in colour, of the size of the image, which replaces the heatmap; None without one.
        region: What the target is about, in pixels of the image, drawn on the image and the overlay; None without it.
            If it has predicted classes, they are drawn beside the map, with a legend.
        density: Pixels per point: 1 for small images, 2 for sharp ones.

    Returns:
        The page, RGB, 1032 points wide; 1354 with predicted classes.

    Raises:
        MethodError: If sizes differ, an option is unknown, or a value is out of range.
    """
    check_colormap(colormap)
    saliency = check_heatmap(heatmap)
    if saliency.shape != (image.height, image.width):
        raise MethodError(f"a heatmap of shape {saliency.shape} does not fit an image of size {image.size}.")
    strip = image.width > STRIP_ASPECT * image.height
    has_classes = region is not None and region.classes is not None
    n_columns = 4 if has_classes and not strip else 3
    sheet = Sheet(n_columns * COLUMN_PT + (n_columns - 1) * GUTTER_PT + 2 * MARGIN_PT, density)
    content_width = sheet.width - 2 * MARGIN_PT
    y = draw_heading(sheet, MARGIN_PT, MARGIN_PT - 10, content_width, (title, subtitle), score_label)
    if note:
        y = draw_paragraph(sheet, MARGIN_PT, y + 9, note, BODY_PT, ACCENT_COLOUR, content_width, max_lines=3)
    size = _image_size(sheet, image, strip, content_width)
    size_pt = size[0] / sheet.density
    photo, resized = resize_image(image, size), resize_heatmap(saliency, size)
    overlaid = overlay(photo, resized, opacity=opacity, colormap=colormap, blend=blend, contour=contour)
    if colour is None:
        captions, middle = CAPTIONS, Image.fromarray(apply_colormap(resized, colormap))
    else:
        captions, middle = COLOUR_CAPTIONS, resize_image(colour, size)
    if stretched := stretch_note(image.size):
        captions = (f"{captions[0]} ({stretched})", *captions[1:])
    tiles: list[Image.Image] = []
    if has_classes and region is not None:
        tiles, captions = [draw_classes(photo, region)], (*captions, CLASSES_CAPTION)
    if region is not None:
        scale_to_page = photo.width / image.width, photo.height / image.height
        photo, overlaid = (draw_region(drawn, region, scale=scale_to_page) for drawn in (photo, overlaid))
    y = _images(sheet, y + 20, (photo, middle, overlaid, *tiles), captions, strip, region, size_pt)
    y = draw_lower_half(sheet, y + 26, bars, colormap, scale, bool(np.isnan(saliency).any()))
    return sheet.trimmed(draw_footer(sheet, y, footer))


def _image_size(sheet: Sheet, image: Image.Image, strip: bool, content_width: float) -> tuple[int, int]:
    return display_size(image.size, (sheet.pixels(content_width if strip else COLUMN_PT), sheet.pixels(MAX_HEIGHT_PT)))


def _images(
    sheet: Sheet,
    y: float,
    images: Sequence[Image.Image],
    captions: Sequence[str],
    strip: bool,
    region: Region | None,
    width: float,
) -> float:
    """Draw the images side by side or vertically, and return the y at which the last caption or legend ends."""
    x, end, lowest = MARGIN_PT, y, y
    for image, caption in zip(images, captions, strict=True):
        below = y + sheet.draw_image(x, y, image, edge=True) + 6
        sheet.text(x, below, caption, SMALL_PT, MUTED_COLOUR)
        end = below + line_height(SMALL_PT)
        if caption == CLASSES_CAPTION and region is not None:
            end = draw_legend(sheet, x, end + 4, max(width, COLUMN_PT), region)
        lowest = max(lowest, end)
        if strip:
            y = end + 12
        else:
            x += COLUMN_PT + GUTTER_PT
    return lowest


def draw_lower_half(
    sheet: Sheet,
    y: float,
    bars: Sequence[Bar],
    colormap: str,
    scale: tuple[float, float] | None,
    has_nan: bool,
) -> float:
    """Draw the predictions on the left and the colour scale on the right, and return the y at which they end."""
    left = 2 * COLUMN_PT + GUTTER_PT
    right = MARGIN_PT + left + GUTTER_PT
    end = y
    if bars:
        end = draw_bars(sheet, MARGIN_PT, draw_label(sheet, MARGIN_PT, y, "Predictions"), left - GUTTER_PT, bars)
    y = draw_label(sheet, right, y, "Map value") + 2
    return max(end, draw_colorbar(sheet, right, y, COLUMN_PT, colormap, scale, has_nan))
