"""Conversion of decoded images and arrays to upright 8-bit RGB: depth, transparency, colour space and orientation.

- `to_rgb`: a decoded image of any mode
- `from_array`: an array of grey, RGB or RGBA values
- `bands_from_array`: an array with any number of bands, as floats

No files are opened here; see `camlucida.data.images`.
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
"""Transposition that makes an image upright, by its EXIF orientation. 1 is upright; other values are invalid."""

EXIF_ORIENTATION_TAG = 0x0112
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
WHITE = (255, 255, 255)


def to_rgb(image: Image.Image, *, own: bool = False) -> Image.Image:
    """Return a new, upright RGB image; `image` is unmodified.

    16-bit grey is divided by 257 (Pillow's own conversion would clip it to white), 32-bit float must be in [0, 1],
    transparent pixels are composited on white, and colour profiles are not applied, as training loaders do not apply
    them. Raises `ImageError` for pixel values outside the valid range.

    Args:
        image: The image.
        own: Whether nothing else refers to `image`, so that the result may share its pixels.
    """
    image.load()  # before the EXIF tag is read, since Pillow rotates a TIFF while it loads
    if own and image.mode == "RGB" and not image.has_transparency_data and orientation_of(image) == 1:
        rgb = image._new(image.im)  # an image without the file
        rgb.info = {}
        return rgb
    rgb = _convert_upright(image, _converter(image), orientation_of(image))
    rgb.info = {}  # otherwise the EXIF tag would rotate the image again when it is reloaded
    return rgb


BLOCK_PX = 1024
"""Side in pixels of the blocks in which a large image is converted, so that memory holds no second full-size copy."""


def _convert_upright(
    image: Image.Image, convert: Callable[[Image.Image], Image.Image], orientation: int
) -> Image.Image:
    """Convert an image block by block and transpose every block as it is pasted into the result."""
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
    """Yield (left, top, right, bottom) of blocks of at most `BLOCK_PX` squared pixels that cover an image."""
    block_width = min(width, BLOCK_PX**2)
    block_height = max(1, BLOCK_PX**2 // block_width)
    for top in range(0, height, block_height):
        for left in range(0, width, block_width):
            yield left, top, min(width, left + block_width), min(height, top + block_height)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 if there is none or it cannot be read."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION_TAG, 1)
    except Exception:  # Pillow raises many types for broken EXIF; the pixels are valid
        return 1
    return value if isinstance(value, int) else 1


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Return a function that converts the image or a block of it to RGB, after checking the image's value range."""
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
    """Return the lowest and highest value; NaN if any value is NaN."""
    ranges = [(block.min(), block.max()) for block in map(np.asarray, map(image.crop, _blocks(*image.size)))]
    return np.min([low for low, _ in ranges]).item(), np.max([high for _, high in ranges]).item()


def _count_non_finite(image: Image.Image) -> int:
    return sum(int((~np.isfinite(np.asarray(image.crop(box)))).sum()) for box in _blocks(*image.size))


def _composite_on_white(rgba: Image.Image) -> Image.Image:
    """Composite the image on white: the colours stored in transparent pixels are arbitrary and were never visible."""
    background = Image.new("RGB", rgba.size, WHITE)
    background.paste(rgba, mask=rgba.getchannel("A"))
    return background


def _int32_divisor(low: float, high: float) -> int:
    """Return the divisor that scales 32-bit integers, which in practice hold 8 or 16 bits, to [0, 255]."""
    if low < 0 or high > 65535:
        raise ImageError(
            f"32-bit grey values from {low} to {high}: an image has 0 to 255 or 0 to 65535. "
            "Scale it and pass it as a float array in [0, 1]."
        )
    return 257 if high > 255 else 1


def _from_levels(levels: NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.rint(levels).astype(np.uint8)).convert("RGB")


def from_array(array: NDArray[Any]) -> Image.Image:
    """Convert an array to an RGB image.

    Args:
        array: `(h, w)`, `(h, w, 1)`, `(h, w, 3)` or `(h, w, 4)`, of uint8, uint16, bool, or float in [0, 1].

    Returns:
        An RGB image of the same height and width; floats are rounded to the nearest of 256 levels.

    Raises:
        ImageError: If the shape or type is unsupported, or values are NaN, infinite or out of range.
    """
    levels = _levels(_check_shape(array))
    if levels.ndim == 2:
        return Image.fromarray(levels).convert("RGB")
    if levels.shape[2] == 4:
        return _composite_on_white(Image.fromarray(levels))
    return Image.fromarray(levels)


def bands_from_array(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return a multispectral image as floats.

    Args:
        array: `(h, w, bands)` of uint8, uint16, bool, or float in [0, 1].

    Returns:
        A new array `(h, w, bands)` in [0, 1], not rounded.

    Raises:
        ImageError: If the array has no pixels, or values of another type or range.
    """
    if array.ndim != 3 or array.size == 0:
        raise ImageError(f"an array of shape {array.shape} is no multispectral image: (h, w, bands) is.")
    if array.dtype in (np.uint8, np.uint16):
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    if array.dtype == np.bool_:
        return array.astype(np.float32)
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"bands of {array.dtype} have no known range: pass uint8 (0 to 255), uint16 (0 to 65535) or float (0 to 1)."
        )
    _check_floats(float(array.min()), float(array.max()), lambda: int((~np.isfinite(array)).sum()), array.size)
    return array.astype(np.float32)


def _check_shape(array: NDArray[Any]) -> NDArray[Any]:
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        hint = ""
        if array.ndim == 3 and shape[0] in (1, 3, 4):
            hint = " The channels come first: pass array.transpose(1, 2, 0)."
        elif array.ndim == 4:
            hint = " Pass the images of the batch one at a time."
        elif array.ndim == 3 and shape[2] < min(shape[:2]):
            hint = f" For a network of {shape[2]} channels, give the model mean= and std= of {shape[2]} numbers each."
        raise ImageError(f"an array of shape {shape} is not an image: expected (h, w), (h, w, 3) or (h, w, 4).{hint}")
    if array.size == 0:
        raise ImageError(f"an array of shape {shape} has no pixels.")
    return array[:, :, 0] if array.ndim == 3 and shape[2] == 1 else array


def _levels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the values scaled to 0..255."""
    if array.dtype == np.uint8:
        return np.array(array, order="C")  # a copy, so that later changes to the array do not affect the image
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return _scale_and_round(array, 1 / 257)
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"an array of {array.dtype} is not an image: pass uint8 (0 to 255), uint16 (0 to 65535) or float (0 to 1)."
        )
    return _float_levels(array)


def _float_levels(array: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = float(array.min()), float(array.max())  # NaN if any value is NaN
    _check_floats(low, high, lambda: int((~np.isfinite(array)).sum()), array.size)
    return _scale_and_round(array, 255)


def _check_floats(low: float, high: float, count_non_finite: Callable[[], int], size: int | None = None) -> None:
    if not math.isfinite(low) or not math.isfinite(high):
        of_all = f" of {size}" if size else ""
        raise ImageError(f"{count_non_finite()}{of_all} values are NaN or infinite. Replace them first.")
    if low < 0 or high > 1:
        hint = " Divide by 255?" if low >= 0 and 1 < high <= 255 else " Undo the normalisation first."
        raise ImageError(f"float values from {low:.4g} to {high:.4g}: a float image must be in [0, 1].{hint}")


def _scale_and_round(array: NDArray[Any], factor: float) -> NDArray[np.uint8]:
    """Return the values times a factor, rounded; in blocks of rows, because the product is float64."""
    levels = np.empty(array.shape, np.uint8)
    step = max(1, BLOCK_PX**2 // max(1, math.prod(array.shape[1:])))
    for top in range(0, len(array), step):
        levels[top : top + step] = np.rint(array[top : top + step].astype(np.float64) * factor)
    return levels
