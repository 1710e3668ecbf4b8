"""Any picture or array to an upright RGB picture of 8 bits: depth, transparency, colour space, orientation.

    to_rgb     a decoded picture of any mode
    from_array an array of grey, RGB or RGBA values

Nothing here opens a file; see `images`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import ImageError

EXIF_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF Orientation. 1 is upright; any other number is a mistake."""

EXIF_ORIENTATION_TAG = 0x0112
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
WHITE = (255, 255, 255)


def to_rgb(image: Image.Image) -> Image.Image:
    """A new RGB picture, upright; `image` stays as it is.

    16-bit grey is divided by 257 (Pillow's own conversion would clip it to white), 32-bit float must lie
    in [0, 1], transparent pixels are laid on white, and colour profiles are not applied, as no training
    loader applies them. Raises ImageError for pixel values that have no place in a picture.
    """
    image.load()  # before the EXIF tag is read: a TIFF turns itself upright while it loads
    rgb = _convert_upright(image, _converter(image), orientation_of(image))
    rgb.info = {}  # or the EXIF tag would turn the picture a second time when it is loaded again
    return rgb


BLOCK_PX = 1024
"""Side of the blocks in which a large image is converted, so that only the image and the result are in memory."""


def _convert_upright(
    image: Image.Image, convert: Callable[[Image.Image], Image.Image], orientation: int
) -> Image.Image:
    """Convert an image block by block and turn every block on its way into the result."""
    (width, height), transpose = image.size, EXIF_TRANSPOSE.get(orientation)
    if width * height <= BLOCK_PX**2:
        rgb = convert(image)
        return rgb if transpose is None else rgb.transpose(transpose)
    result = Image.new("RGB", (height, width) if orientation >= 5 and transpose is not None else (width, height))
    for left, top, right, bottom in _blocks(width, height):
        block = convert(image.crop((left, top, right, bottom)))
        x_offset = {2: width - right, 3: width - right, 5: top, 6: height - bottom, 7: height - bottom, 8: top}
        y_offset = {3: height - bottom, 4: height - bottom, 5: left, 6: left, 7: width - right, 8: width - right}
        result.paste(
            block if transpose is None else block.transpose(transpose),
            (x_offset.get(orientation, left), y_offset.get(orientation, top)),
        )
    return result


def _blocks(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """(left, top, right, bottom) of blocks of at most `BLOCK_PX` squared pixels that cover an image."""
    block_width = min(width, BLOCK_PX**2)
    block_height = max(1, BLOCK_PX**2 // block_width)
    for top in range(0, height, block_height):
        for left in range(0, width, block_width):
            yield left, top, min(width, left + block_width), min(height, top + block_height)


def orientation_of(image: Image.Image) -> int:
    """The EXIF Orientation, 1 where there is none or it cannot be read."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION_TAG, 1)
    except Exception:  # Pillow raises half a dozen kinds for broken EXIF, none of which spoils the pixels
        return 1
    return value if isinstance(value, int) else 1


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """What turns the image, or a block of it, into RGB; the range of all its values is looked at here."""
    if image.mode in SIXTEEN_BIT_MODES:
        return lambda block: _from_levels(np.asarray(block).astype(np.float64) / 257)
    if image.mode == "I":
        divisor = _int32_divisor(*_value_range(image))
        return lambda block: _from_levels(np.asarray(block).astype(np.float64) / divisor)
    if image.mode == "F":
        _check_floats(*_value_range(image), lambda: _count_non_finite(image))
        return lambda block: _from_levels(np.asarray(block).astype(np.float64) * 255)
    if image.has_transparency_data:
        return lambda block: _composite_on_white(block.convert("RGBA"))
    return lambda block: block.convert("RGB")


def _value_range(image: Image.Image) -> tuple[float, float]:
    """The lowest and highest value; NaN where one is NaN."""
    ranges = [(block.min(), block.max()) for block in map(np.asarray, map(image.crop, _blocks(*image.size)))]
    return np.min([low for low, _ in ranges]).item(), np.max([high for _, high in ranges]).item()


def _count_non_finite(image: Image.Image) -> int:
    return sum(int((~np.isfinite(np.asarray(image.crop(box)))).sum()) for box in _blocks(*image.size))


def _composite_on_white(rgba: Image.Image) -> Image.Image:
    """Transparent pixels keep hidden colours that nobody ever saw; what was seen is the page behind them."""
    background = Image.new("RGB", rgba.size, WHITE)
    background.paste(rgba, mask=rgba.getchannel("A"))
    return background


def _int32_divisor(low: float, high: float) -> int:
    """What brings 32-bit integers, which in practice hold 8 or 16 bits, to [0, 255]."""
    if low < 0 or high > 65535:
        raise ImageError(
            f"32-bit grey values from {low} to {high}: a picture has 0 to 255 or 0 to 65535. "
            "Scale it and pass it as a float array in [0, 1]."
        )
    return 257 if high > 255 else 1


def _from_levels(levels: NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.rint(levels).astype(np.uint8)).convert("RGB")


def from_array(array: NDArray[Any]) -> Image.Image:
    """An RGB picture from an array.

    array    (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); uint8, uint16, bool, or float in [0, 1]
    returns  RGB, h x w; floats are rounded to the nearest of 256 levels
    raises   ImageError for another shape or type, NaN, infinity, values out of range
    """
    levels = _levels(_check_shape(array))
    if levels.ndim == 2:
        return Image.fromarray(levels).convert("RGB")
    if levels.shape[2] == 4:
        return _composite_on_white(Image.fromarray(levels))
    return Image.fromarray(levels)


def _check_shape(array: NDArray[Any]) -> NDArray[Any]:
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        hint = ""
        if array.ndim == 3 and shape[0] in (1, 3, 4):
            hint = " The channels come first here: pass array.transpose(1, 2, 0)."
        elif array.ndim == 4:
            hint = " Pass one picture of the batch at a time."
        raise ImageError(f"an array of shape {shape} is no picture: (h, w), (h, w, 3) or (h, w, 4) is.{hint}")
    if array.size == 0:
        raise ImageError(f"an array of shape {shape} has no pixels.")
    return array[:, :, 0] if array.ndim == 3 and shape[2] == 1 else array


def _levels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The same values in 0..255."""
    if array.dtype == np.uint8:
        return np.array(array, order="C")  # a copy: the picture must not change with the caller's array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return _scale_and_round(array, 1 / 257)
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"an array of {array.dtype} is no picture: pass uint8 (0 to 255), uint16 (0 to 65535) or float (0 to 1)."
        )
    return _float_levels(array)


def _float_levels(array: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = float(array.min()), float(array.max())  # NaN where one value is
    _check_floats(low, high, lambda: int((~np.isfinite(array)).sum()), array.size)
    return _scale_and_round(array, 255)


def _check_floats(low: float, high: float, count_non_finite: Callable[[], int], size: int | None = None) -> None:
    if not math.isfinite(low) or not math.isfinite(high):
        of_all = f" of {size}" if size else ""
        raise ImageError(
            f"{count_non_finite()}{of_all} values are NaN or infinite: a picture has none. Fill them first."
        )
    if low < 0 or high > 1:
        hint = " Divide by 255?" if low >= 0 and 1 < high <= 255 else " Undo the normalisation first."
        raise ImageError(f"float values from {low:.4g} to {high:.4g}: a float picture lies in [0, 1].{hint}")


def _scale_and_round(array: NDArray[Any], factor: float) -> NDArray[np.uint8]:
    """Values times a factor, rounded to levels; some rows at a time, since the product is in float64."""
    levels = np.empty(array.shape, np.uint8)
    step = max(1, BLOCK_PX**2 // max(1, math.prod(array.shape[1:])))
    for top in range(0, len(array), step):
        levels[top : top + step] = np.rint(array[top : top + step].astype(np.float64) * factor)
    return levels
