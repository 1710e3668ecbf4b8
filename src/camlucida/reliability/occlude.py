"""A picture with a part of it covered: what one paints out to see whether the model needed it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from camlucida.errors import MethodError, nearest
from camlucida.reliability.position_test import BLUR_SIGMA, FEATHER_SIGMA

OcclusionInfill: TypeAlias = Literal["blur", "grey", "mean"]
"""What stands where the picture is covered: the picture blurred until only colours are left, a middle grey, or the
mean colour of what is not covered."""

GREY_LEVEL = 128


def occlude(image: Image.Image, mask: NDArray[Any], infill: OcclusionInfill = "blur") -> Image.Image:
    """The picture with what the mask marks covered, with soft edges: a hard edge is evidence of its own.

    picture  RGB
    mask     (h, w) bool, of any size: it is stretched over the picture
    returns  a new picture; the same pixels where nothing is marked
    """
    soft_mask = _soft_mask(mask, image.size)
    return Image.composite(_infill(image, soft_mask, infill), image, soft_mask)


def _soft_mask(mask: NDArray[Any], size: tuple[int, int]) -> Image.Image:
    """(width, height) 0 to 255: covered in full inside, fading out around it."""
    hard = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    if not np.any(mask):
        return Image.new("L", size)
    hard = hard.resize(size, Image.Resampling.BILINEAR)
    sigma_px = FEATHER_SIGMA * min(size) / 2
    return hard.filter(ImageFilter.GaussianBlur(sigma_px)) if sigma_px >= 0.5 else hard


def _infill(image: Image.Image, soft_mask: Image.Image, infill: str) -> Image.Image:
    if infill == "blur":
        return image.filter(ImageFilter.GaussianBlur(BLUR_SIGMA * min(image.size)))
    if infill == "grey":
        return Image.new("RGB", image.size, (GREY_LEVEL,) * 3)
    if infill == "mean":
        return Image.new("RGB", image.size, _mean_colour(image, soft_mask))
    known = get_args(OcclusionInfill)
    raise MethodError(f"no cover {infill!r}.{nearest(str(infill), known)} Known: {', '.join(known)}.")


def _mean_colour(image: Image.Image, soft_mask: Image.Image) -> tuple[int, int, int]:
    """Of what is not covered; of all of it where nothing is left."""
    weights = 1 - np.asarray(soft_mask, dtype=np.float64) / 255
    if weights.sum() < 1:
        weights = np.ones_like(weights)
    colours = np.asarray(image.convert("RGB"), dtype=np.float64)
    red, green, blue = (np.tensordot(weights, colours, ((0, 1), (0, 1))) / weights.sum()).round().astype(int).tolist()
    return red, green, blue
