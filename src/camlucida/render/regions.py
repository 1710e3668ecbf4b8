"""Draw the region that a target is about on an image: a box, the contour of a mask, or a point."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from camlucida.render.overlay import draw_contour
from camlucida.types import Region

LINE_COLOUR = (255, 255, 255)
EDGE_COLOUR = (20, 20, 20)
"""Lines are light with a dark edge, so that they are visible on every image and every palette."""


def draw_region(image: Image.Image, region: Region, *, scale: tuple[float, float] = (1.0, 1.0)) -> Image.Image:
    """Draw the outline of a region on an image.

    Args:
        image: The image, RGB.
        region: The region, in pixels of the original image.
        scale: (x, y) pixels of `image` per pixel of the original.

    Returns:
        A new RGB image of the same size.
    """
    drawn = image.convert("RGB")
    if region.mask is not None:
        mask = Image.fromarray(region.mask.cpu().numpy().astype(np.uint8) * 255)
        drawn = draw_contour(drawn, np.asarray(mask.resize(drawn.size, Image.Resampling.NEAREST)) > 0)
    sx, sy = scale
    draw = ImageDraw.Draw(drawn)
    width = max(1, round(min(drawn.size) / 150))
    if region.box is not None:
        left, top, right, bottom = region.box
        corners = [round(left * sx), round(top * sy), round(right * sx), round(bottom * sy)]
        x1, y1, x2, y2 = _inside(corners, drawn.size)
        draw.rectangle((x1, y1, x2, y2), outline=EDGE_COLOUR, width=3 * width)
        draw.rectangle(
            (x1 + width, y1 + width, max(x2 - width, x1 + width), max(y2 - width, y1 + width)),
            outline=LINE_COLOUR,
            width=width,
        )
    if region.point is not None:
        x, y, radius = region.point[0] * sx, region.point[1] * sy, 4 * width
        for colour, thickness in ((EDGE_COLOUR, 3 * width), (LINE_COLOUR, width)):
            draw.line((x - radius, y, x + radius, y), fill=colour, width=thickness)
            draw.line((x, y - radius, x, y + radius), fill=colour, width=thickness)
    return drawn


def _inside(corners: list[int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the corners of a box moved into the image, with at least one pixel."""
    x1, y1 = min(max(corners[0], 0), size[0] - 1), min(max(corners[1], 0), size[1] - 1)
    return x1, y1, max(min(corners[2], size[0] - 1), x1), max(min(corners[3], size[1] - 1), y1)
