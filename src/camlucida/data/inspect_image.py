"""Inspection of one image: how it is stored, and the hashes that identify duplicates.

- `inspect_image`: reads and decodes the bytes once; for a broken file, the result holds the reason
- `dhash`: 64 bits that hardly change when an image is scaled or recompressed
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.data.convert import orientation_of
from camlucida.data.images import Source, identify, load_image, read_bytes
from camlucida.errors import CamlucidaError

THUMBNAIL_PX = 16
"""Side in pixels of the thumbnail that near duplicates are compared by."""


@dataclass(frozen=True, eq=False)
class ImageInfo:
    """Properties of one image.

    Attributes:
        size: `(width, height)` in pixels, upright.
        format: Pillow's format, such as JPEG; empty for an image in memory.
        mode: Pillow's mode: RGB, L, CMYK, P, RGBA, ...
        alpha: Whether pixels can be transparent.
        orientation: The EXIF orientation; 1 is upright.
        sha256: SHA-256 of the file, or of the pixels of an image in memory.
        dhash: The difference hash; see `dhash`.
        thumbnail: `(16, 16)` grey levels.
        error: Why the image cannot be read, a sentence; the other fields are then empty.
    """

    size: tuple[int, int] = (0, 0)
    format: str = ""
    mode: str = ""
    alpha: bool = False
    orientation: int = 1
    sha256: str = ""
    dhash: int = 0
    thumbnail: NDArray[np.uint8] | None = None
    error: str = ""


class _NamedBytes(io.BytesIO):
    """Bytes with the name of their file, which appears in errors."""

    name = ""


def inspect_image(source: Source) -> ImageInfo:
    """Inspect one image; problems with it are stored in the `error` of the result."""
    if isinstance(source, Image.Image | np.ndarray | bytes | bytearray):
        image = load_image(source)
        return _image_info(image, hashlib.sha256(image.tobytes()).hexdigest(), ImageInfo(mode=image.mode))
    try:
        content = read_bytes(source)
        stream = _NamedBytes(content)
        stream.name = str(getattr(source, "name", source) if not isinstance(source, str) else source)
        image = load_image(stream)
        return _image_info(image, hashlib.sha256(content).hexdigest(), _read_header(content))
    except CamlucidaError as error:
        return ImageInfo(error=str(error))


def _read_header(content: bytes) -> ImageInfo:
    with identify(io.BytesIO(content)) as stored:
        return ImageInfo(
            format=stored.format or "",
            mode=stored.mode,
            alpha=stored.has_transparency_data,
            orientation=orientation_of(stored),
        )


def _image_info(image: Image.Image, digest: str, header: ImageInfo) -> ImageInfo:
    grey = image.convert("L")
    thumbnail = np.asarray(grey.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX))
    return ImageInfo(
        image.size, header.format, header.mode, header.alpha, header.orientation, digest, dhash(grey), thumbnail
    )


def dhash(image: Image.Image) -> int:
    """Return the 64-bit difference hash: whether each cell of an 8 x 8 grid is lighter than its right neighbour."""
    reduced = image.convert("L").resize((9, 8), Image.Resampling.BOX)
    values = np.asarray(reduced, dtype=np.int16)
    bits = (values[:, :-1] > values[:, 1:]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def stored_size(source: Source) -> tuple[int, int]:
    """Return (width, height) as stored in the file, without decoding; (0, 0) if it is not an image."""
    try:
        with identify(io.BytesIO(read_bytes(source))) as stored:  # type: ignore[arg-type]
            return stored.size
    except CamlucidaError:
        return 0, 0
