"""The thumbnails of many images in one file, so that a page draws thousands of points with one request."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image

from camlucida.data.datasets import Dataset, source_of
from camlucida.data.images import load_image
from camlucida.errors import ImageError
from camlucida.features.common import shrink_image
from camlucida.types import ProgressCallback

TILE_PX = 32
"""Side of a thumbnail, in pixels."""
WEBP_QUALITY = 80


def thumbnail_sheet(data: Dataset, indices: Sequence[int], progress: ProgressCallback | None = None) -> bytes:
    """Return one WebP image with the thumbnail of each image of a data set.

    The sheet has ceil(sqrt(n)) columns; thumbnail i is at row i // columns and column i % columns. An image keeps its
    proportions, and is in the middle of its transparent tile; the tile of an image that cannot be read is transparent.

    Args:
        data: The data set.
        indices: The n images.
        progress: Called with the number of images read and their total.
    """
    columns = max(1, math.ceil(math.sqrt(len(indices))))
    rows = max(1, math.ceil(len(indices) / columns))
    sheet = Image.new("RGBA", (columns * TILE_PX, rows * TILE_PX), (0, 0, 0, 0))
    for i, index in enumerate(indices):
        try:
            tile = shrink_image(load_image(source_of(data, index)), TILE_PX)
        except ImageError:
            continue
        left = (i % columns) * TILE_PX + (TILE_PX - tile.width) // 2
        top = (i // columns) * TILE_PX + (TILE_PX - tile.height) // 2
        sheet.paste(tile.convert("RGB"), (left, top))
        if progress:
            progress(i + 1, len(indices))
    sink = io.BytesIO()
    sheet.save(sink, "WEBP", quality=WEBP_QUALITY, method=2)
    return sink.getvalue()
