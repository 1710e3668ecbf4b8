"""Thumbnails of a data set as sprite sheets: many small images in one file, decoded by the browser when visible."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from camlucida.data.datasets import Dataset
from camlucida.data.small_images import load_small_image
from camlucida.errors import CamlucidaError
from camlucida.types import ProgressCallback

SHEET_PX = 480
"""Width and height of a sheet: large enough to compress well, small enough to be decoded within a frame."""
SIZES_PX = ((600, 160), (3_000, 120), (10**9, 80))
"""Sizes of a thumbnail, by the largest number of images that have it."""
QUALITY = 62
READERS = 4
BACKGROUND = (128, 128, 132)


@dataclass(frozen=True)
class SpriteSheets:
    """The thumbnails of n images.

    Attributes:
        cell_px: Width and height of a cell, whose upper left corner holds the thumbnail.
        per_row: Cells in a row of a sheet; a sheet has as many rows.
        sheets: The sheets as WebP in base64.
        sizes: (width, height) of each thumbnail; (0, 0) for an image that could not be read.
    """

    cell_px: int
    per_row: int
    sheets: Sequence[str]
    sizes: Sequence[tuple[int, int]]


def sprite_sheets(data: Dataset, indices: Sequence[int], progress: ProgressCallback | None = None) -> SpriteSheets:
    """Read and reduce images of a data set.

    Args:
        data: The data set.
        indices: Indices of the images.
        progress: Called with the number of finished images and the total.
    """
    cell_px = next(px for limit, px in SIZES_PX if len(indices) <= limit)
    per_row = SHEET_PX // cell_px
    per_sheet = per_row**2
    sheets: list[str] = []
    sizes: list[tuple[int, int]] = []
    with ThreadPoolExecutor(READERS, thread_name_prefix="camlucida-thumbnail") as readers:
        for start in range(0, len(indices), per_sheet):
            part = indices[start : start + per_sheet]
            images = list(readers.map(lambda index: _thumbnail(data, index, cell_px), part))
            sheets.append(_encoded(images, cell_px, per_row))
            sizes += [(0, 0) if image is None else image.size for image in images]
            if progress:
                progress(start + len(part), len(indices))
    return SpriteSheets(cell_px, per_row, sheets, sizes)


def _thumbnail(data: Dataset, index: int, max_px: int) -> Image.Image | None:
    try:
        image = load_small_image(data[index].image, max_px)
    except CamlucidaError:  # the file was removed since the audit
        return None
    scale = max_px // max(image.size)
    if scale < 2:
        return image
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)  # 32 pixels, say


def _encoded(images: Sequence[Image.Image | None], cell_px: int, per_row: int) -> str:
    n_rows = -(-len(images) // per_row)
    sheet = Image.new("RGB", (cell_px * per_row, cell_px * n_rows), BACKGROUND)
    for position, image in _with_positions(images, cell_px, per_row):
        sheet.paste(image, position)
    sink = io.BytesIO()
    sheet.save(sink, "WEBP", quality=QUALITY, method=3)
    return base64.b64encode(sink.getvalue()).decode()


def _with_positions(
    images: Sequence[Image.Image | None], cell_px: int, per_row: int
) -> Iterator[tuple[tuple[int, int], Image.Image]]:
    for i, image in enumerate(images):
        if image is not None:
            yield ((i % per_row) * cell_px, (i // per_row) * cell_px), image
