"""Images and maps at the size at which they are displayed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_NEAREST_PX = 96
"""Images up to this side are enlarged without interpolation, so that their pixels are visible."""

MAX_DISPLAYED_RATIO = 8.0
"""Ratio of the sides above which the shorter side is stretched: 4000 x 60 pixels would be a line."""


def to_image(pixels: Any) -> Image.Image:
    """Return an array of colours (H, W, 3) in [0, 1] as an RGB image."""
    return Image.fromarray(np.rint(255 * np.asarray(pixels)).astype(np.uint8))


def display_size(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return the size at which an image fills a box; tiny images are enlarged by an integer factor.

    The image keeps its ratio of width to height, but for one beyond `MAX_DISPLAYED_RATIO`: its shorter side is
    stretched, see `stretch_note`.

    Args:
        size: Size of the image (width, height).
        box: Maximum size (width, height); the shorter side of a stretched image may exceed it.

    Returns:
        The displayed size (width, height).
    """
    factor = min(box[0] / size[0], box[1] / size[1])
    if 1 <= factor < 8 and max(size) <= MAX_NEAREST_PX:  # from 8 on, a difference of one pixel is invisible
        factor = float(int(factor))
    width, height = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
    return max(width, round(height / MAX_DISPLAYED_RATIO)), max(height, round(width / MAX_DISPLAYED_RATIO))


def stretch_note(size: tuple[int, int]) -> str:
    """Return by how much `display_size` stretches an image of a size (width, height): "height × 8.3", or ""."""
    ratio = max(size) / min(size) / MAX_DISPLAYED_RATIO
    return f"{'height' if size[0] > size[1] else 'width'} × {ratio:.1f}" if ratio > 1 else ""


def resize_image(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the image at a size (width, height), as RGB."""
    return image.convert("RGB").resize(size, _choose_filter(image.size, size))


def resize_heatmap(heatmap: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a map at another size. NaN does not spread to other positions.

    Args:
        heatmap: Map `(h, w)`.
        size: New size (width, height).

    Returns:
        The map `(height, width)`, float32.
    """
    saliency = np.asarray(heatmap, dtype=np.float32)
    finite = ~np.isnan(saliency)
    resample = _choose_filter((saliency.shape[1], saliency.shape[0]), size, smooth=Image.Resampling.BILINEAR)
    weight = _resize(finite.astype(np.float32), size, resample)
    total = _resize(np.where(finite, saliency, np.float32(0)), size, resample)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight >= 0.5, total / weight, np.float32(np.nan))


def _resize(values: NDArray[np.float32], size: tuple[int, int], resample: Image.Resampling) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize(size, resample))


def _choose_filter(
    size: tuple[int, int],
    target_size: tuple[int, int],
    smooth: Image.Resampling = Image.Resampling.LANCZOS,
) -> Image.Resampling:
    """Return nearest-neighbour resampling for enlarging small images, and the smooth filter otherwise."""
    if max(size) <= MAX_NEAREST_PX and target_size[0] >= size[0] and target_size[1] >= size[1]:
        return Image.Resampling.NEAREST
    return smooth
