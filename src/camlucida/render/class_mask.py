"""Draw the classes that a segmentation network predicts: a colour per class, and a legend with their names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.render.canvas import MUTED_COLOUR, SMALL_PT, TEXT_COLOUR, Sheet, line_height
from camlucida.render.overlay import grey_background
from camlucida.render.palettes import CATEGORICAL_COLOURS
from camlucida.render.regions import draw_region
from camlucida.render.text import format_percent
from camlucida.types import PredictedClasses, Region

BACKGROUND_COLOUR = "d0d0d4"
OPACITY, FAINT_OPACITY = 0.75, 0.3
"""Opacity of the colours in the region in question, and in the others."""
MAX_ENTRIES = 10
SWATCH_PT, ENTRY_GAP_PT = 10.0, 14.0


def class_colours(classes: PredictedClasses) -> dict[int, str]:
    """Return the colour of each class that occurs, as rrggbb: that of its index, unless a larger region has it."""
    colours: dict[int, str] = {}
    for index in classes.names:
        if index == classes.background:
            colours[index] = BACKGROUND_COLOUR
            continue
        own = [CATEGORICAL_COLOURS[(index + i) % len(CATEGORICAL_COLOURS)] for i in range(len(CATEGORICAL_COLOURS))]
        colours[index] = next((colour for colour in own if colour not in colours.values()), own[0])
    return colours


def draw_classes(image: Image.Image, region: Region) -> Image.Image:
    """Return an image in grey with the predicted classes in colour; the region in question is outlined and stronger.

    Args:
        image: The image, of any size: the classes are those of the original image, and are resized.
        region: The region with its predicted classes, in pixels of the original image. Without a mask and a point, all
            classes are equally strong.
    """
    classes = region.classes
    if classes is None:
        return image
    height, width = classes.indices.shape
    indices = _resized(classes.indices.cpu().numpy().astype(np.int32), image.size)
    inside = np.ones(indices.shape, bool)
    if region.mask is not None:
        inside = _resized(region.mask.cpu().numpy().astype(np.int32), image.size) > 0
    photo = np.asarray(grey_background(image), dtype=np.float32)
    mixed = photo.copy()
    for index, colour in class_colours(classes).items():
        alpha = np.where(inside, np.float32(OPACITY), np.float32(FAINT_OPACITY))[..., None]
        layer = photo + alpha * (np.array(list(bytes.fromhex(colour)), np.float32) - photo)
        mixed = np.where((indices == index)[..., None], layer, mixed)
    drawn = Image.fromarray(np.rint(mixed).astype(np.uint8))
    return draw_region(drawn, region, scale=(image.width / width, image.height / height))


def legend_entries(region: Region) -> list[tuple[str, str, str, bool]]:
    """Return colour, name, fraction as text, and whether it is the class in question, for every class.

    The fraction is that of the pixels that the network sees, as in the messages on regions.
    """
    classes = region.classes
    if classes is None:
        return []
    indices = classes.indices.cpu().numpy()
    meant = _class_of(region, indices)
    n_seen = max(int((indices >= 0).sum()), 1)  # -1 outside the network input
    fractions = {index: float((indices == index).sum()) / n_seen for index in classes.names}
    return [
        (colour, classes.names[index], format_percent(fractions[index]), index == meant)
        for index, colour in class_colours(classes).items()
    ]


def draw_legend(sheet: Sheet, x: float, y: float, width: float, region: Region) -> float:
    """Draw the colours and names of the predicted classes in lines of a width, and return the y at which they end."""
    entries = legend_entries(region)
    left = x
    for colour, name, fraction, is_meant in entries[:MAX_ENTRIES]:
        text = sheet.fit_name(f"{name} {fraction}", SMALL_PT, width - SWATCH_PT - 6)
        needed = SWATCH_PT + 6 + sheet.text_width(text, SMALL_PT) * (1.08 if is_meant else 1.0)
        if left > x and left + needed > x + width:
            left, y = x, y + line_height(SMALL_PT) + 2
        sheet.rectangle(left, y + 2, SWATCH_PT, SWATCH_PT, f"#{colour}")
        sheet.text(left + SWATCH_PT + 6, y, text, SMALL_PT, TEXT_COLOUR if is_meant else MUTED_COLOUR, bold=is_meant)
        left += needed + ENTRY_GAP_PT
    if entries:
        y += line_height(SMALL_PT)
    if (more := len(entries) - MAX_ENTRIES) > 0:
        sheet.text(x, y + 2, f"and {more} smaller", SMALL_PT, MUTED_COLOUR)
        y += line_height(SMALL_PT) + 2
    return y


def _class_of(region: Region, indices: NDArray[np.int64]) -> int | None:
    """Return the class that is predicted for most of a region, or at its point; None without either."""
    if region.mask is not None:
        inside = indices[region.mask.cpu().numpy().astype(bool)]
        inside = inside[inside >= 0]
        return int(np.bincount(inside).argmax()) if inside.size else None
    if region.point is not None:
        row, column = (min(max(int(v), 0), n - 1) for v, n in zip(region.point[::-1], indices.shape, strict=True))
        return int(indices[row, column])
    return None


def _resized(values: NDArray[np.int32], size: tuple[int, int]) -> NDArray[np.int32]:
    resized: NDArray[np.int32] = np.asarray(Image.fromarray(values, mode="I").resize(size, Image.Resampling.NEAREST))
    return resized


def legend_data(region: Region) -> list[Mapping[str, object]]:
    """Return the entries of the legend, ready for JSON."""
    return [
        {"colour": f"#{colour}", "name": name, "fraction": fraction, "meant": is_meant}
        for colour, name, fraction, is_meant in legend_entries(region)
    ]
