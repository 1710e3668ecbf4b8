"""Reading of images at a small size, where a JPEG need not be decoded at its full size."""

from __future__ import annotations

import os

from PIL import Image

from camlucida.data.convert import to_rgb
from camlucida.data.image_paths import open_file
from camlucida.data.images import MAX_PIXELS, Source, identify, load_image
from camlucida.errors import ImageError

MIN_RATIO = 2
"""Smallest ratio between the size at which a JPEG is decoded and that of the result. With less, the coarse filter of
the decoder is visible."""


def load_small_image(source: Source, max_px: int) -> Image.Image:
    """Read an image as upright RGB and reduce it, about three times as fast as `load_image` for a photograph.

    Args:
        source: Anything that `load_image` reads.
        max_px: Largest length of the longer side, in pixels. Smaller images keep their size.

    Returns:
        A new image.

    Raises:
        ImageError: If the image cannot be read, for any reason.
    """
    image = _drafted(source, max_px) if isinstance(source, str | os.PathLike) else None
    image = load_image(source) if image is None else image
    size = fitting_size(image.size, max_px)
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def fitting_size(size: tuple[int, int], max_px: int) -> tuple[int, int]:
    """Return (width, height) of an image of `size`, reduced so that its longer side has at most `max_px` pixels."""
    scale = min(1.0, max_px / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _drafted(source: str | os.PathLike[str], max_px: int) -> Image.Image | None:
    """Return a JPEG decoded at a fraction of its size; None for any other file, which `load_image` reads."""
    with open_file(source) as stream:
        try:
            with identify(stream) as image:
                if image.format != "JPEG" or image.mode not in ("RGB", "L") or image.width * image.height > MAX_PIXELS:
                    return None
                image.draft(None, (MIN_RATIO * max_px, MIN_RATIO * max_px))
                return to_rgb(image)
        except (ImageError, OSError, SyntaxError, ValueError):  # load_image names the fault
            return None
