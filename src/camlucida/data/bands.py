"""Images of any number of bands in files: arrays (.npy), and TIFF with one page per band."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from camlucida.data.convert import bands_from_array
from camlucida.data.image_paths import open_file
from camlucida.data.images import MAX_BYTES, identify
from camlucida.errors import ImageError


def load_bands(path: str | os.PathLike[str], n_bands: int, *, max_bytes: int = MAX_BYTES) -> NDArray[np.float32]:
    """Read an image of several bands.

    Args:
        path: A .npy file with an array `(h, w, bands)` or `(bands, h, w)`, or a file that Pillow reads: its channels,
            or its pages, are the bands.
        n_bands: Number of bands of the network input.
        max_bytes: Largest memory of the bands in float32.

    Returns:
        The bands `(h, w, n_bands)` in [0, 1].

    Raises:
        ImageError: The file cannot be read, or has another number of bands.
    """
    name = Path(path).name
    if name.lower().endswith(".npy"):
        array = _array(path)
    else:
        with open_file(path) as stream:
            try:
                with identify(stream) as image:
                    array = _from_image(image, n_bands, max_bytes)
            except ImageError as error:
                raise ImageError(f"cannot read {path}: {error}") from None
            except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, EOFError ...
                raise ImageError(f"cannot read {path}: the file is damaged ({str(error)[:200]}).") from error
    if array.ndim == 3 and array.shape[2] != n_bands and array.shape[0] == n_bands:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] != n_bands:
        raise ImageError(
            f"{name} has the shape {array.shape}, and the network input has {n_bands} bands: expected (height, width, "
            f"{n_bands}), or a TIFF with {n_bands} pages."
        )
    _check_size(array.shape[:2], n_bands, max_bytes)
    return bands_from_array(np.asarray(array))


def _array(path: str | os.PathLike[str]) -> NDArray[Any]:
    with open_file(path) as stream:
        try:
            array: NDArray[Any] = np.lib.format.open_memmap(stream.name, mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise ImageError(
                f"cannot read {path}: it is no array of numbers, or damaged ({str(error)[:120]})."
            ) from None
    return array


def _from_image(image: Image.Image, n_bands: int, max_bytes: int) -> NDArray[Any]:
    pages = int(getattr(image, "n_frames", 1))
    _check_size((image.height, image.width), max(pages, len(image.getbands())), max_bytes)
    if pages == 1:
        array = np.asarray(image)
        return array[:, :, None] if array.ndim == 2 else array
    if pages != n_bands:
        raise ImageError(f"it has {pages} pages, and the network input has {n_bands} bands.")
    bands = [np.asarray(page) for page in ImageSequence.Iterator(image)]
    if any(band.ndim != 2 or band.shape != bands[0].shape for band in bands):
        raise ImageError("its pages are in colour or of different sizes, so they are no bands.")
    return np.stack(bands, axis=2)


def _check_size(size: tuple[int, ...], n_bands: int, max_bytes: int) -> None:
    needed = 4 * n_bands * size[0] * size[1]
    if needed > max_bytes:
        raise ImageError(
            f"{n_bands} bands of {size[1]} x {size[0]} pixels would take {needed / 1e6:,.0f} MB; the limit is "
            f"{max_bytes / 1e6:,.0f} (max_bytes)."
        )
