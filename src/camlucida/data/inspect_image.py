"""One picture looked at: how it is stored, and what makes it known again.

inspect   bytes are read once, decoded once; a broken file gives its reason
dhash     64 bits that stay nearly the same when a picture is scaled or compressed again
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
"""Pixels of the thumbnail's side that near duplicates are compared by."""


@dataclass(frozen=True, eq=False)
class ImageInfo:
    """What was seen of one picture.

    size         (width, height) upright
    mode         Pillow's: RGB, L, CMYK, P, RGBA ...
    alpha        whether anything in it can be transparent
    orientation  EXIF's, 1 for upright
    sha256       of the file, or of the pixels of a picture that was drawn
    dhash        see `dhash`
    thumbnail    (16, 16) grey
    error        why it cannot be read, in a sentence; then the rest is empty
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
    """Bytes that say in errors which file they were."""

    name = ""


def inspect_image(source: Source) -> ImageInfo:
    """Look at one picture; whatever is wrong with it is the look's `error`."""
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
    """64 bits: whether each place of an 8 x 8 grid is lighter than its right neighbour (the difference hash)."""
    reduced = image.convert("L").resize((9, 8), Image.Resampling.BOX)
    values = np.asarray(reduced, dtype=np.int16)
    bits = (values[:, :-1] > values[:, 1:]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def stored_size(source: Source) -> tuple[int, int]:
    """(width, height) as the file has it, without decoding; (0, 0) where it is no picture."""
    try:
        with identify(io.BytesIO(read_bytes(source))) as stored:  # type: ignore[arg-type]
            return stored.size
    except CamlucidaError:
        return 0, 0
