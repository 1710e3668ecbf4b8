"""Occlusion of a region of an image, to see whether the prediction depends on it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from camlucida.errors import MethodError, nearest
from camlucida.reliability.position_test import BLUR_SIGMA, FEATHER_SIGMA

OcclusionInfill: TypeAlias = Literal["blur", "grey", "mean"]
"""What replaces the occluded region: a strong blur of the image, middle grey, or the mean colour of the pixels that are
not occluded.
"""

GREY_LEVEL = 128


def occlude(image: Image.Image, mask: NDArray[Any], infill: OcclusionInfill = "blur") -> Image.Image:
    """Replace the masked region of an image, with soft edges, because hard edges add evidence of their own.

    Args:
        image: The image, RGB.
        mask: Region to replace `(h, w)`, bool, of any size; it is resized to the image.
        infill: What replaces the region.

    Returns:
        A new image, unchanged outside the soft edge of the region.

    Raises:
        MethodError: If the infill is unknown.
    """
    soft_mask = _soft_mask(mask, image.size)
    return Image.composite(_infill(image, soft_mask, infill), image, soft_mask)


def _soft_mask(mask: NDArray[Any], size: tuple[int, int]) -> Image.Image:
    """Return the mask at `(width, height)` as 0 to 255: full inside, with a gradual transition around it."""
    hard = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    if not np.any(mask):
        return Image.new("L", size)
    hard = hard.resize(size, Image.Resampling.BILINEAR)
    sigma_px = FEATHER_SIGMA * min(size) / 2
    return hard.filter(ImageFilter.GaussianBlur(sigma_px)) if sigma_px >= 0.5 else hard


def _infill(image: Image.Image, soft_mask: Image.Image, infill: str) -> Image.Image:
    """Return the image that replaces the occluded region."""
    if infill == "blur":
        return image.filter(ImageFilter.GaussianBlur(BLUR_SIGMA * min(image.size)))
    if infill == "grey":
        return Image.new("RGB", image.size, (GREY_LEVEL,) * 3)
    if infill == "mean":
        return Image.new("RGB", image.size, _mean_colour(image, soft_mask))
    known = get_args(OcclusionInfill)
    raise MethodError(f"no infill {infill!r}.{nearest(str(infill), known)} Known: {', '.join(known)}.")


def _mean_colour(image: Image.Image, soft_mask: Image.Image) -> tuple[int, int, int]:
    """Return the mean colour of the pixels that are not occluded, or of all pixels if none remain."""
    weights = 1 - np.asarray(soft_mask, dtype=np.float64) / 255
    if weights.sum() < 1:
        weights = np.ones_like(weights)
    colours = np.asarray(image.convert("RGB"), dtype=np.float64)
    red, green, blue = (np.tensordot(weights, colours, ((0, 1), (0, 1))) / weights.sum()).round().astype(int).tolist()
    return red, green, blue
