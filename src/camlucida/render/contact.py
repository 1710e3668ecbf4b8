"""A contact sheet: many small pictures in rows, each with what it is called and a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.bars import draw_scale
from camlucida.render.colours import checked, checked_heat
from camlucida.render.display import show_heat, show_picture, shown_size
from camlucida.render.overlay import Blend, overlay
from camlucida.render.palettes import DEFAULT
from camlucida.render.sheet import BODY, GUTTER, INK, MARGIN, MUTED, SMALL, Sheet, heading, line_height
from camlucida.render.sheet import footer as set_footer

WIDTH, GAP, ROW_GAP = 140.0, 12.0, 16.0
COLUMNS, FEWEST = 6, 4
TALLEST = 1.4
SCALE_WIDTH = 230.0


@dataclass(frozen=True)
class Tile:
    """One picture of the sheet.

    heat      (height, width) of the picture, in [0, 1], NaN where the network did not look
    label     in bold under it, cut to fit; `caption` in small letters under that
    """

    picture: Image.Image
    heat: NDArray[Any]
    label: str
    caption: str = ""


def contact(
    tiles: Sequence[Tile],
    *,
    title: str,
    subtitle: str = "",
    aside: str = "",
    original: Image.Image | None = None,
    footer: str = "",
    scale: tuple[float, float] | None = None,
    opacity: float = 0.5,
    colormap: str = DEFAULT,
    blend: Blend = "heat",
    density: float = 2.0,
) -> Image.Image:
    """A page of overlays, six in a row.

    original  the picture without heat, shown beside the title
    aside     a remark at the right of the title
    scale     raw values at heat 0 and 1 if all tiles share them; else each has its own
    returns   RGB, `density` pixels a point
    raises    MethodError for no tiles, a heat map that does not fit its picture, and as `overlay` does
    """
    if not tiles:
        raise MethodError("a contact sheet of nothing: there is no picture to show.")
    checked(colormap)
    columns = min(COLUMNS, max(FEWEST, len(tiles)))
    height = WIDTH * min(TALLEST, max(tile.picture.height / tile.picture.width for tile in tiles))
    room = columns * WIDTH + (columns - 1) * GAP
    sheet = Sheet(room + 2 * MARGIN, density)
    box = sheet.pixels(WIDTH), sheet.pixels(max(height, 4.0))
    x, y, end = MARGIN, MARGIN - 10, 0.0
    if original is not None:
        end = y + 6 + sheet.picture(x, y + 6, show_picture(original, shown_size(original.size, box)), edge=True)
        x += WIDTH + GAP
    y = heading(sheet, x, y, room + MARGIN - x, (title, subtitle), aside) + 12
    y = max(end, draw_scale(sheet, x, y, SCALE_WIDTH, colormap, scale, _any_unseen(tiles))) + GUTTER
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        ends = [
            _tile(sheet, MARGIN + column * (WIDTH + GAP), y, tile, box, opacity, colormap, blend)
            for column, tile in enumerate(row)
        ]
        y = max(ends) + ROW_GAP
    return sheet.trimmed(set_footer(sheet, y - ROW_GAP, footer))


def _any_unseen(tiles: Sequence[Tile]) -> bool:
    return any(bool((tile.heat != tile.heat).any()) for tile in tiles)


def _tile(
    sheet: Sheet,
    x: float,
    y: float,
    tile: Tile,
    box: tuple[int, int],
    opacity: float,
    colormap: str,
    blend: Blend,
) -> float:
    """Returns where its caption ends."""
    heat, size = checked_heat(tile.heat), tile.picture.size
    if heat.shape != size[::-1]:
        raise MethodError(f"a heat map of shape {heat.shape} does not fit a picture of size {size}.")
    shown = shown_size(size, box)
    photo = show_picture(tile.picture, shown)
    painted = overlay(photo, show_heat(heat, shown), opacity=opacity, colormap=colormap, blend=blend)
    y += sheet.picture(x, y, painted, edge=True) + 4
    sheet.text(x, y, sheet.fits(tile.label, BODY, WIDTH), BODY, INK, bold=True)
    y += line_height(BODY)
    sheet.text(x, y, sheet.fits(tile.caption, SMALL, WIDTH), SMALL, MUTED)
    return y + line_height(SMALL)
