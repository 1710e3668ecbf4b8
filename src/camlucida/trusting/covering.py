"""A picture with a part of it covered: what one paints out to see whether the model needed it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from camlucida.errors import MethodError, nearest
from camlucida.trusting.place import BLUR, FEATHER

Cover: TypeAlias = Literal["blur", "grey", "mean"]
"""What stands where the picture is covered: the picture blurred until only colours are left, a middle grey, or the
mean colour of what is not covered."""

GREY = 128


def covered(picture: Image.Image, mask: NDArray[Any], cover: Cover = "blur") -> Image.Image:
    """The picture with what the mask marks covered, with soft edges: a hard edge is evidence of its own.

    picture  RGB
    mask     (h, w) bool, of any size: it is stretched over the picture
    returns  a new picture; the same pixels where nothing is marked
    """
    soft = _soft(mask, picture.size)
    return Image.composite(_infill(picture, soft, cover), picture, soft)


def _soft(mask: NDArray[Any], size: tuple[int, int]) -> Image.Image:
    """(width, height) 0 to 255: covered in full inside, fading out around it."""
    hard = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    if not np.any(mask):
        return Image.new("L", size)
    hard = hard.resize(size, Image.Resampling.BILINEAR)
    reach = FEATHER * min(size) / 2
    return hard.filter(ImageFilter.GaussianBlur(reach)) if reach >= 0.5 else hard


def _infill(picture: Image.Image, soft: Image.Image, cover: str) -> Image.Image:
    if cover == "blur":
        return picture.filter(ImageFilter.GaussianBlur(BLUR * min(picture.size)))
    if cover == "grey":
        return Image.new("RGB", picture.size, (GREY,) * 3)
    if cover == "mean":
        return Image.new("RGB", picture.size, _mean(picture, soft))
    known = get_args(Cover)
    raise MethodError(f"no cover {cover!r}.{nearest(str(cover), known)} Known: {', '.join(known)}.")


def _mean(picture: Image.Image, soft: Image.Image) -> tuple[int, int, int]:
    """Of what is not covered; of all of it where nothing is left."""
    left = 1 - np.asarray(soft, dtype=np.float64) / 255
    if left.sum() < 1:
        left = np.ones_like(left)
    colours = np.asarray(picture.convert("RGB"), dtype=np.float64)
    red, green, blue = (np.tensordot(left, colours, ((0, 1), (0, 1))) / left.sum()).round().astype(int).tolist()
    return red, green, blue
