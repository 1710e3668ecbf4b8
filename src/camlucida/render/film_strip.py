"""Film strips: explanations of one image while something changes, one row per image or method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.boxes import BoxesLike, draw_boxes
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

FRAME_WIDTH_PT, GAP_PT, ROW_GAP_PT = 112.0, 8.0, 20.0
MAX_ASPECT = 1.5
"""Maximum ratio of height to width of a frame."""


@dataclass(frozen=True)
class StripFrame:
    """One frame of a strip.

    Attributes:
        heatmap: Map `(height, width)` in [0, 1]; None for the image alone.
        label: Text below the frame.
        caption: One or more lines below the label.
        warning: Whether the first line of the caption has the colour of a warning.
        image: The image, if it differs from that of the row.
        boxes: Annotated boxes in pixels of the image, drawn on the frame.
    """

    heatmap: NDArray[Any] | None
    label: str
    caption: str = ""
    warning: bool = False
    image: Image.Image | None = None
    boxes: BoxesLike = ()


@dataclass(frozen=True)
class Strip:
    """One row of frames.

    Attributes:
        name: Name of the row.
        remark: Text on the right of the name.
        warning: Whether the remark has the colour of a warning.
        frames: The frames.
        image: The image, if rows have different ones.
    """

    name: str
    remark: str
    warning: bool
    frames: Sequence[StripFrame]
    image: Image.Image | None = None


def draw_strips(
    rows: Sequence[Strip],
    image: Image.Image | None = None,
    *,
    title: str,
    subtitle: str = "",
    footer: str = "",
    opacity: float = 0.6,
    colormap: str = DEFAULT_COLORMAP,
    blend: Blend = "saliency",
    width: float = FRAME_WIDTH_PT,
    density: float = 2.0,
) -> Image.Image:
    """Draw a page of film strips.

    Args:
        rows: The strips.
        image: The image of all strips that have none.
        title: Title of the page.
        subtitle: Text below the title.
        footer: Text below all other content.
        opacity: As in `overlay`.
        colormap: Name of the colour map.
        blend: As in `overlay`.
        width: Width of a frame in points.
        density: Pixels per point.

    Returns:
        The page, RGB.

    Raises:
        MethodError: If there is no strip, or a frame has no image.
    """
    if not rows:
        raise MethodError("a page of film strips needs at least one strip.")
    columns = max(len(row.frames) for row in rows)
    content_width = max(columns * (width + GAP_PT) - GAP_PT, 5 * FRAME_WIDTH_PT)
    sheet = Sheet(content_width + 2 * MARGIN_PT, density)
    y = draw_heading(sheet, MARGIN_PT, MARGIN_PT - 10, content_width, (title, subtitle), "") + GUTTER_PT
    for row in rows:
        sheet.text(MARGIN_PT, y, sheet.fit_text(row.name, BODY_PT, content_width / 2), BODY_PT, TEXT_COLOUR, bold=True)
        remark = sheet.fit_text(row.remark, BODY_PT, content_width / 2)
        sheet.text(
            MARGIN_PT + content_width, y, remark, BODY_PT, ACCENT_COLOUR if row.warning else MUTED_COLOUR, align="right"
        )
        y += line_height(BODY_PT) + 4
        draw = partial(_draw_frame, sheet, row.image or image, width, opacity, colormap, blend)
        y = draw_rows(row.frames, max(columns, 1), MARGIN_PT, y, width + GAP_PT, ROW_GAP_PT, draw) + ROW_GAP_PT
    return sheet.trimmed(draw_footer(sheet, y - ROW_GAP_PT, footer))


def _draw_frame(
    sheet: Sheet,
    row_image: Image.Image | None,
    width: float,
    opacity: float,
    colormap: str,
    blend: Blend,
    x: float,
    y: float,
    frame: StripFrame,
) -> float:
    """Draw a frame with its label and caption, and return the y at which the caption ends."""
    overlaid = _rendered(sheet, frame, row_image, width, opacity, colormap, blend)
    end = y + sheet.draw_image(x, y, overlaid, edge=True) + 3
    sheet.text(x, end, sheet.fit_text(frame.label, SMALL_PT, width), SMALL_PT, TEXT_COLOUR)
    for i, line in enumerate(frame.caption.split("\n")):
        end += line_height(SMALL_PT)
        colour = ACCENT_COLOUR if frame.warning and i == 0 else MUTED_COLOUR
        sheet.text(x, end, sheet.fit_text(line, SMALL_PT, width), SMALL_PT, colour)
    return end + line_height(SMALL_PT)


def _rendered(
    sheet: Sheet,
    frame: StripFrame,
    row_image: Image.Image | None,
    width: float,
    opacity: float,
    colormap: str,
    blend: Blend,
) -> Image.Image:
    """Return a frame as an image at its displayed size."""
    image = frame.image or row_image
    if image is None:
        raise MethodError(f"neither the frame {frame.label!r} nor its row has an image.")
    size = display_size(image.size, (sheet.pixels(width), sheet.pixels(width * min(MAX_ASPECT, _aspect(image)))))
    photo = resize_image(image, size)
    if frame.heatmap is not None:
        photo = overlay(photo, resize_heatmap(frame.heatmap, size), opacity=opacity, colormap=colormap, blend=blend)
    if not len(frame.boxes):
        return photo
    scale = [size[0] / image.width, size[1] / image.height] * 2
    return draw_boxes(photo, np.asarray(frame.boxes, dtype=np.float64).reshape(-1, 4) * scale)


def _aspect(image: Image.Image) -> float:
    return image.height / image.width
