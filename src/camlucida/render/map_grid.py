"""A grid of maps, such as layers by methods, or images by classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.canvas import (
    BODY_PT,
    GUTTER_PT,
    MARGIN_PT,
    MUTED_COLOUR,
    SMALL_PT,
    TEXT_COLOUR,
    TRACK_COLOUR,
    Sheet,
    draw_footer,
    draw_heading,
    draw_paragraph,
    line_height,
)
from camlucida.render.class_mask import draw_classes, draw_legend
from camlucida.render.colours import check_colormap, check_heatmap
from camlucida.render.overlay import Blend, overlay
from camlucida.render.palettes import DEFAULT_COLORMAP
from camlucida.render.probability_bars import draw_colorbar
from camlucida.render.regions import draw_region
from camlucida.render.resize import display_size, resize_heatmap, resize_image, stretch_note
from camlucida.types import Region


class RenderedMap(NamedTuple):
    """A map with its caption.

    Attributes:
        heatmap: Map `(height, width)` in [0, 1].
        caption: Text below it.
        colormap: Name of the colour map, if it differs from that of the page.
        region: The region that the map is about, in pixels of the image, whose outline is drawn.
    """

    heatmap: NDArray[Any]
    caption: str
    colormap: str | None = None
    region: Region | None = None


GridCell: TypeAlias = RenderedMap | tuple[NDArray[Any], str] | str
"""A map with its caption, or a text that states why there is none."""

GAP_PT, ROW_GAP_PT = 12.0, 18.0
MAX_LABEL_WIDTH_PT = 120.0
CELL_WIDTHS_PT = ((3, 230.0), (5, 176.0), (8, 140.0))
MIN_CELL_WIDTH_PT = 116.0
MAX_COLUMNS = 8
"""A single row of more maps, such as those of 20 detections, is drawn in several lines."""
MAX_ASPECT = 1.4
MIN_WIDTH_PT = 560.0
COLORBAR_WIDTH_PT = 230.0


@dataclass(frozen=True)
class _Style:
    """How every cell is rendered, and its size in points."""

    opacity: float
    colormap: str
    blend: Blend
    width: float
    height: float


def draw_grid(
    cells: Sequence[Sequence[GridCell]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    original: Image.Image | Sequence[Image.Image],
    subtitle: str = "",
    footer: str = "",
    scale: tuple[float, float] | None = None,
    opacity: float = 0.5,
    colormap: str = DEFAULT_COLORMAP,
    blend: Blend = "saliency",
    classes: Region | None = None,
    density: float = 2.0,
) -> Image.Image:
    """Draw a page of overlays with labelled rows and columns.

    Args:
        cells: One sequence per row: maps with captions, or texts that state why there is no map. Maps are as in
            `overlay`, each at the size of its image.
        rows: Labels of the rows.
        columns: Labels of the columns.
        title: Title of the page.
        original: The image, displayed beside the title; or one image per row, displayed as the first column.
        subtitle: Text below the title.
        footer: Text below all other content.
        scale: Raw values at map values 0 and 1, if all maps share them; None if each has its own scale.
        opacity: As in `overlay`.
        colormap: Name of the colour map.
        blend: As in `overlay`.
        classes: Region of the image whose predicted classes are drawn beside it, with a legend, for a single image; one
            without a mask and a point for several. None without predicted classes.
        density: Pixels per point.

    Returns:
        The page, RGB.

    Raises:
        MethodError: If numbers or sizes do not match, or an option of `overlay` is invalid.
    """
    single = isinstance(original, Image.Image)
    images = [original] * len(rows) if isinstance(original, Image.Image) else list(original)
    _check_shapes(cells, rows, columns, images)
    n_lines = -(-len(columns) // MAX_COLUMNS) if single and len(rows) == 1 else 1
    per_line = -(-len(columns) // n_lines)
    count = per_line + (not single)
    style = _make_style(images, count, opacity, check_colormap(colormap), blend)
    label_width = _label_width(rows, density)
    content_width = max(label_width + count * style.width + (count - 1) * GAP_PT, MIN_WIDTH_PT)
    if classes is not None:
        content_width = max(content_width, label_width + 2 * (style.width + GAP_PT) + COLORBAR_WIDTH_PT)
    sheet = Sheet(content_width + 2 * MARGIN_PT, density)
    has_nan = _any_nan(cells)
    cell_colormaps = (
        RenderedMap(*cell).colormap or colormap for row in cells for cell in row if not isinstance(cell, str)
    )
    colormaps = list(dict.fromkeys(cell_colormaps)) or [colormap]
    y = _draw_header(
        sheet,
        content_width,
        label_width,
        (title, subtitle),
        images[0] if single else None,
        style,
        scale,
        has_nan,
        colormaps,
        classes if single else None,
    )
    for start in range(0, len(columns), per_line):
        heads, stop = columns[start : start + per_line], start + per_line
        y = _draw_column_heads(sheet, label_width, y, [*([] if single else ["Image"]), *heads], style)
        for name, image, row in zip(rows, images, cells, strict=True):
            draw_paragraph(sheet, MARGIN_PT, y, name, BODY_PT, TEXT_COLOUR, label_width - GAP_PT, max_lines=4)
            y = _draw_row(sheet, MARGIN_PT + label_width, y, image, row[start:stop], style, single) + ROW_GAP_PT
    stretched = dict.fromkeys(note for image in images if (note := stretch_note(image.size)))
    notes = f"narrow images are displayed with {', '.join(stretched)}" if stretched else ""
    return sheet.trimmed(draw_footer(sheet, y - ROW_GAP_PT, " · ".join(filter(None, (footer, notes)))))


def _check_shapes(
    cells: Sequence[Sequence[GridCell]],
    rows: Sequence[str],
    columns: Sequence[str],
    images: Sequence[Image.Image],
) -> None:
    shape = [len(row) for row in cells]
    if not rows or not columns or shape != [len(columns)] * len(rows):
        raise MethodError(
            f"{len(rows)} rows and {len(columns)} columns are named, but the rows have these numbers of cells: {shape}."
        )
    if len(images) != len(rows):
        raise MethodError(f"{len(images)} images for {len(rows)} rows: pass one image, or one per row.")


def _make_style(images: Sequence[Image.Image], count: int, opacity: float, colormap: str, blend: Blend) -> _Style:
    """Return the style; cells are larger for fewer columns, and as high as the tallest image up to a maximum."""
    width = next((width for max_columns, width in CELL_WIDTHS_PT if count <= max_columns), MIN_CELL_WIDTH_PT)
    height = width * min(MAX_ASPECT, max(image.height / image.width for image in images))
    return _Style(opacity, colormap, blend, width, max(height, 4.0))


def _label_width(rows: Sequence[str], density: float) -> float:
    ruler = Sheet(1, density)
    longest = max((ruler.text_width(name, BODY_PT) for name in rows), default=0)
    return min(longest, MAX_LABEL_WIDTH_PT) + GUTTER_PT if longest else 0.0


def _any_nan(cells: Sequence[Sequence[GridCell]]) -> bool:
    return any(bool(np.isnan(cell[0]).any()) for row in cells for cell in row if not isinstance(cell, str))


def _draw_header(
    sheet: Sheet,
    content_width: float,
    label_width: float,
    texts: tuple[str, str],
    image: Image.Image | None,
    style: _Style,
    scale: tuple[float, float] | None,
    has_nan: bool,
    colormaps: Sequence[str],
    classes: Region | None,
) -> float:
    """Draw image, predicted classes, title and colour scale, and return the y at which the grid begins."""
    x, y, end = MARGIN_PT, MARGIN_PT - 10, 0.0
    if image is not None:
        photo = resize_image(image, _cell_size(sheet, image, style))
        end = y + 6 + sheet.draw_image(x + label_width, y + 6, photo, edge=True)
        x += label_width + style.width + GAP_PT  # image and title stand above the first and the second column
        if classes is not None:
            below = y + 6 + sheet.draw_image(x, y + 6, draw_classes(photo, classes), edge=True)
            end = max(end, draw_legend(sheet, x, below + 6, style.width, classes))
            x += style.width + GAP_PT
    free_width = content_width + MARGIN_PT - x
    y = draw_heading(sheet, x, y, free_width, texts) + 12
    for colormap in colormaps[:-1]:
        y = draw_colorbar(sheet, x, y, min(COLORBAR_WIDTH_PT, free_width), colormap, scale, False) + 6
    y = draw_colorbar(sheet, x, y, min(COLORBAR_WIDTH_PT, free_width), colormaps[-1], scale, has_nan)
    return max(y, end) + GUTTER_PT


def _draw_column_heads(sheet: Sheet, label_width: float, y: float, names: Sequence[str], style: _Style) -> float:
    """Draw the column labels, aligned at the bottom, and return the y at which they end."""
    wrapped = [sheet.wrap_text(name, BODY_PT, style.width, 2) for name in names]
    n_lines = max(len(lines) for lines in wrapped)
    for column, lines in enumerate(wrapped):
        x = MARGIN_PT + label_width + column * (style.width + GAP_PT)
        for number, line in enumerate(lines, start=n_lines - len(lines)):
            sheet.text(x, y + number * line_height(BODY_PT), line, BODY_PT, TEXT_COLOUR, bold=True)
    return y + n_lines * line_height(BODY_PT) + 6


def _draw_row(
    sheet: Sheet, x: float, y: float, image: Image.Image, row: Sequence[GridCell], style: _Style, single: bool
) -> float:
    """Draw one row, and return the y at which the lowest caption ends."""
    size = _cell_size(sheet, image, style)
    photo = resize_image(image, size)
    end = y
    if not single:
        end = y + sheet.draw_image(x, y, photo, edge=True)
        x += style.width + GAP_PT
    for cell in row:
        end = max(end, _draw_cell(sheet, x, y, image, photo, cell, style))
        x += style.width + GAP_PT
    return end


def _draw_cell(
    sheet: Sheet, x: float, y: float, image: Image.Image, photo: Image.Image, cell: GridCell, style: _Style
) -> float:
    if isinstance(cell, str):
        return _draw_failure(sheet, x, y, cell, style.width, photo.height / sheet.density)
    saliency, caption, colormap = check_heatmap(cell[0]), cell[1], RenderedMap(*cell).colormap or style.colormap
    if saliency.shape != (image.height, image.width):
        raise MethodError(f"a heatmap of shape {saliency.shape} does not fit an image of size {image.size}.")
    resized = resize_heatmap(saliency, photo.size)
    overlaid = overlay(photo, resized, opacity=style.opacity, colormap=colormap, blend=style.blend)
    if (region := RenderedMap(*cell).region) is not None:
        scale = photo.width / image.width, photo.height / image.height
        overlaid = draw_region(overlaid, region, scale=scale)
    below = y + sheet.draw_image(x, y, overlaid, edge=True) + 4
    return draw_paragraph(sheet, x, below, caption, SMALL_PT, MUTED_COLOUR, style.width, max_lines=2)


def _draw_failure(sheet: Sheet, x: float, y: float, reason: str, width: float, height: float) -> float:
    """Draw a grey field of the size of the image, or larger if the text requires it."""
    max_lines = max(3, int((height - 16) / line_height(SMALL_PT)))
    lines = len(sheet.wrap_text(reason, SMALL_PT, width - 20, max_lines))
    height = max(height, 16 + lines * line_height(SMALL_PT))
    sheet.rectangle(x, y, width, height, TRACK_COLOUR)
    draw_paragraph(sheet, x + 10, y + 8, reason, SMALL_PT, MUTED_COLOUR, width - 20, max_lines)
    return y + height


def _cell_size(sheet: Sheet, image: Image.Image, style: _Style) -> tuple[int, int]:
    return display_size(image.size, (sheet.pixels(style.width), sheet.pixels(style.height)))
