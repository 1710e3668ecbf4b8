"""Pictures and heat maps at the size they are shown in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TINY = 96
"""Pictures up to this long are enlarged as plain squares: so small, their pixels are what there is to see."""


def shown_size(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of a picture that fills `box` one way; the pixels of a tiny one stay equally large."""
    factor = min(box[0] / size[0], box[1] / size[1])
    if 1 <= factor < 8 and max(size) <= TINY:  # from 8 on, a pixel more or less cannot be seen
        factor = float(int(factor))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def show_picture(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at `size`, as RGB."""
    return image.convert("RGB").resize(size, _filter(image.size, size))


def show_heat(heatmap: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map (h, w) at the size (width, height): float32 (height, width). NaN does not bleed into the rest."""
    heat = np.asarray(heatmap, dtype=np.float32)
    seen = ~np.isnan(heat)
    kind = _filter((heat.shape[1], heat.shape[0]), size, smooth=Image.Resampling.BILINEAR)
    weight = _resized(seen.astype(np.float32), size, kind)
    total = _resized(np.where(seen, heat, np.float32(0)), size, kind)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight >= 0.5, total / weight, np.float32(np.nan))


def _resized(values: NDArray[np.float32], size: tuple[int, int], kind: Image.Resampling) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize(size, kind))


def _filter(
    size: tuple[int, int],
    shown: tuple[int, int],
    smooth: Image.Resampling = Image.Resampling.LANCZOS,
) -> Image.Resampling:
    if max(size) <= TINY and shown[0] >= size[0] and shown[1] >= size[1]:
        return Image.Resampling.NEAREST
    return smooth
