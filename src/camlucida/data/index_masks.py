"""Masks stored as images whose pixels are class or instance indices."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.data.location import Location
from camlucida.errors import DataError


def read_index_mask(file: Location) -> NDArray[np.uint8]:
    """Return the pixel values of a grey or palette image as stored, `(h, w)`. Raises `DataError`."""
    try:
        with Image.open(io.BytesIO(file.read_bytes())) as image:
            if image.mode not in ("L", "P", "1"):
                raise DataError(f"{file.name} has {image.mode} pixels, not one index per pixel.")
            return np.asarray(image, dtype=np.uint8)
    except FileNotFoundError:
        raise DataError(f"{file.name} is missing in {file.parent}.") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read {file.name} in {file.parent}: {error}.") from None
