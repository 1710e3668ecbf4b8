"""A contact sheet: many small images in rows, each with a label and a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    Sheet,
    draw_footer,
    draw_heading,
    draw_rows,
    line_height,
)
from camlucida.render.colours import check_colormap, check_heatmap
from camlucida.render.overlay import Blend, overlay
from camlucida.render.palettes import DEFAULT_COLORMAP
from camlucida.render.probability_bars import draw_colorbar
from camlucida.render.resize import display_size, resize_heatmap, resize_image

TILE_WIDTH_PT, GAP_PT, ROW_GAP_PT = 140.0, 12.0, 16.0
MAX_COLUMNS, MIN_COLUMNS = 6, 4
MAX_ASPECT = 1.4
COLORBAR_WIDTH_PT = 230.0


@dataclass(frozen=True)
class Tile:
    """One image of the sheet.

    Attributes:
        image: The image.
        heatmap: Its map `(height, width)` in [0, 1], NaN where the network input does not cover the image; None for the
            image without a map.
        label: Text below it in bold, truncated to fit.
        caption: Text below the label in small type: lines, each of which is broken into two where it does not fit.
    """

    image: Image.Image
    heatmap: NDArray[Any] | None
    label: str
    caption: str = ""


def contact_sheet(
    tiles: Sequence[Tile],
    *,
    title: str,
    subtitle: str = "",
    aside: str = "",
    original: Image.Image | None = None,
    footer: str = "",
    scale: tuple[float, float] | None = None,
    opacity: float = 0.5,
    colormap: str = DEFAULT_COLORMAP,
    blend: Blend = "saliency",
    density: float = 2.0,
) -> Image.Image:
    """Draw a page of overlays, up to six per row.

    Args:
        tiles: The images with their maps.
        title: Title of the page.
        subtitle: Text below the title.
        aside: A remark on the right of the title.
        original: The image without a map, displayed beside the title.
        footer: Text below all other content.
        scale: Raw values at map values 0 and 1, if all tiles share them; None if each has its own scale.
        opacity: As in `overlay`.
        colormap: Name of the colour map.
        blend: As in `overlay`.
        density: Pixels per point.

    Returns:
        The page, RGB.

    Raises:
        MethodError: If there are no tiles, a map does not fit its image, or an option of `overlay` is invalid.
    """
    if not tiles:
        raise MethodError("a contact sheet needs at least one image.")
    check_colormap(colormap)
    columns = min(MAX_COLUMNS, max(MIN_COLUMNS, len(tiles)))
    height = TILE_WIDTH_PT * min(MAX_ASPECT, max(tile.image.height / tile.image.width for tile in tiles))
    content_width = columns * TILE_WIDTH_PT + (columns - 1) * GAP_PT
    sheet = Sheet(content_width + 2 * MARGIN_PT, density)
    box = sheet.pixels(TILE_WIDTH_PT), sheet.pixels(max(height, 4.0))
    x, y, end = MARGIN_PT, MARGIN_PT - 10, 0.0
    if original is not None:
        end = y + 6 + sheet.draw_image(x, y + 6, resize_image(original, display_size(original.size, box)), edge=True)
        x += TILE_WIDTH_PT + GAP_PT
    y = draw_heading(sheet, x, y, content_width + MARGIN_PT - x, (title, subtitle), aside) + 12
    y = max(end, draw_colorbar(sheet, x, y, COLORBAR_WIDTH_PT, colormap, scale, _any_nan(tiles))) + GUTTER_PT

    def draw(x: float, y: float, tile: Tile) -> float:
        return _draw_tile(sheet, x, y, tile, box, opacity, colormap, blend)

    end = draw_rows(tiles, columns, MARGIN_PT, y, TILE_WIDTH_PT + GAP_PT, ROW_GAP_PT, draw)
    return sheet.trimmed(draw_footer(sheet, end, footer))


def _any_nan(tiles: Sequence[Tile]) -> bool:
    return any(bool((tile.heatmap != tile.heatmap).any()) for tile in tiles if tile.heatmap is not None)


def _draw_tile(
    sheet: Sheet,
    x: float,
    y: float,
    tile: Tile,
    box: tuple[int, int],
    opacity: float,
    colormap: str,
    blend: Blend,
) -> float:
    """Draw one tile, and return the y at which its caption ends."""
    size = tile.image.size
    target_size = display_size(size, box)
    drawn = resize_image(tile.image, target_size)
    if tile.heatmap is not None:
        saliency = check_heatmap(tile.heatmap)
        if saliency.shape != size[::-1]:
            raise MethodError(f"a heatmap of shape {saliency.shape} does not fit an image of size {size}.")
        resized = resize_heatmap(saliency, target_size)
        drawn = overlay(drawn, resized, opacity=opacity, colormap=colormap, blend=blend)
    y += sheet.draw_image(x, y, drawn, edge=True) + 4
    sheet.text(x, y, sheet.fit_text(tile.label, BODY_PT, TILE_WIDTH_PT), BODY_PT, TEXT_COLOUR, bold=True)
    y += line_height(BODY_PT)
    for part in tile.caption.split("\n"):
        for line in sheet.wrap_text(part, SMALL_PT, TILE_WIDTH_PT, 2) or [""]:
            sheet.text(x, y, line, SMALL_PT, MUTED_COLOUR)
            y += line_height(SMALL_PT)
    return y
