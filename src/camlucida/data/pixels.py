"""Any picture or array to an upright RGB picture of 8 bits: depth, transparency, colour space, orientation.

    to_rgb     a decoded picture of any mode
    from_array an array of grey, RGB or RGBA values

Nothing here opens a file; see `images`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import ImageError

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF Orientation. 1 is upright; any other number is a mistake."""

ORIENTATION = 0x0112
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
WHITE = (255, 255, 255)


def to_rgb(image: Image.Image) -> Image.Image:
    """A new RGB picture, upright; `image` stays as it is.

    16-bit grey is divided by 257 (Pillow's own conversion would clip it to white), 32-bit float must lie
    in [0, 1], transparent pixels are laid on white, and colour profiles are not applied, as no training
    loader applies them. Raises ImageError for pixel values that have no place in a picture.
    """
    image.load()  # before the EXIF tag is read: a TIFF turns itself upright while it loads
    orientation = orientation_of(image)
    rgb = _eight_bit_rgb(image)
    if orientation in UPRIGHT:
        rgb = rgb.transpose(UPRIGHT[orientation])
    rgb.info = {}  # or the EXIF tag would turn the picture a second time when it is loaded again
    return rgb


def orientation_of(image: Image.Image) -> int:
    """The EXIF Orientation, 1 where there is none or it cannot be read."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # Pillow raises half a dozen kinds for broken EXIF, none of which spoils the pixels
        return 1
    return value if isinstance(value, int) else 1


def _eight_bit_rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BITS:
        return _from_levels(np.asarray(image).astype(np.float64) / 257)
    if image.mode == "I":
        return _from_levels(_levels_of_wide_grey(np.asarray(image)))
    if image.mode == "F":
        return from_array(np.asarray(image))
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image.convert("RGB")


def _on_white(rgba: Image.Image) -> Image.Image:
    """Transparent pixels keep hidden colours that nobody ever saw; what was seen is the page behind them."""
    page = Image.new("RGB", rgba.size, WHITE)
    page.paste(rgba, mask=rgba.getchannel("A"))
    return page


def _levels_of_wide_grey(values: NDArray[Any]) -> NDArray[np.float64]:
    """Levels in [0, 255] of 32-bit integers, which in practice hold 8 or 16 bits."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"32-bit grey values from {low} to {high}: a picture has 0 to 255 or 0 to 65535. "
            "Scale it and pass it as a float array in [0, 1]."
        )
    return values.astype(np.float64) / (257 if high > 255 else 1)


def _from_levels(levels: NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.rint(levels).astype(np.uint8)).convert("RGB")


def from_array(array: NDArray[Any]) -> Image.Image:
    """An RGB picture from an array.

    array    (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); uint8, uint16, bool, or float in [0, 1]
    returns  RGB, h x w; floats are rounded to the nearest of 256 levels
    raises   ImageError for another shape or type, NaN, infinity, values out of range
    """
    levels = _levels(_checked_shape(array))
    if levels.ndim == 2:
        return Image.fromarray(levels).convert("RGB")
    if levels.shape[2] == 4:
        return _on_white(Image.fromarray(levels))
    return Image.fromarray(levels)


def _checked_shape(array: NDArray[Any]) -> NDArray[Any]:
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
        return np.rint(array / 257).astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"an array of {array.dtype} is no picture: pass uint8 (0 to 255), uint16 (0 to 65535) or float (0 to 1)."
        )
    return _float_levels(array)


def _float_levels(array: NDArray[Any]) -> NDArray[np.uint8]:
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ImageError(f"{bad} of {array.size} values are NaN or infinite: a picture has none. Fill them first.")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        hint = " Divide by 255?" if low >= 0 and 1 < high <= 255 else " Undo the normalisation first."
        raise ImageError(f"float values from {low:.4g} to {high:.4g}: a float picture lies in [0, 1].{hint}")
    return np.rint(array.astype(np.float64) * 255).astype(np.uint8)
