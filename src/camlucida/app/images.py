"""The page's pictures, by opaque id: samples of the data set, and what people gave it, which lives in memory only."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from dataclasses import dataclass

from PIL import Image

from camlucida.app.cache import Cache
from camlucida.data.datasets import Dataset
from camlucida.data.images import load_image
from camlucida.errors import ImageError
from camlucida.features.common import shrink_image

MAX_PIXELS = 40_000_000
"""Above this an upload is not decoded."""
GIVEN = 192 << 20
"""Bytes of pictures, decoded, that were given to the page and can be asked about again."""
DECODED = 96 << 20
"""Bytes of samples, decoded, that need not be read again."""


@dataclass(frozen=True, eq=False)
class StoredImage:
    """One picture, decoded.

    id      of a sample s<number>, of what was given u<hash>
    digest  of its pixels: answers are kept by it
    label   its class in the data set, if it has one
    """

    id: str
    name: str
    image: Image.Image
    digest: str
    label: int | None = None
    index: int | None = None


def _bytes(image: StoredImage) -> int:
    return 3 * image.image.width * image.image.height


class ImageStore:
    """Nothing that a client says is ever a path: an id is a number, or the name of something in memory."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self._given: Cache[StoredImage] = Cache(GIVEN, _bytes)
        self._read: Cache[StoredImage] = Cache(DECODED, _bytes)
        self._lock = threading.Lock()

    def sample(self, index: int) -> StoredImage:
        """The picture at a place of the data set. Raises `ImageError` where it cannot be read."""
        id_ = f"s{index}"
        found = self._read.get(id_)
        if found is None:
            item = self.data[index]
            try:
                image = _named(load_image(item.image), item.name)
            except ImageError as error:  # whoever looks at the page need not know where the files are
                raise ImageError(str(error).replace(str(item.image), item.name)) from error.__cause__
            found = StoredImage(id_, item.name, image, _digest(image), item.label, index)
            self._read.put(id_, found)
        return found

    def give(self, content: bytes | Image.Image, name: str = "your picture") -> StoredImage:
        """Keep a picture that somebody gave, in memory. Raises `ImageError` where it cannot be read."""
        image = _named(load_image(content, max_pixels=MAX_PIXELS), name)
        digest = _digest(image)
        found = StoredImage(f"u{digest}", name, image, digest)
        self._given.put(found.id, found)
        return found

    def find(self, id_: str) -> StoredImage:
        """By its id. Raises `KeyError` for one that is not there, `ImageError` for a sample that cannot be read."""
        if re.fullmatch(r"s\d{1,12}", id_):
            index = int(id_[1:])
            if index < len(self.data):
                return self.sample(index)
        elif (found := self._given.get(id_)) is not None:
            return found
        raise KeyError(id_)


def encoded(image: Image.Image, longest: int) -> tuple[bytes, str]:
    """The picture small enough to be shown, and its media type: PNG for tiny ones, which JPEG would blur."""
    shown = shrink_image(image, longest)
    sink = io.BytesIO()
    if max(shown.size) <= 256:
        shown.save(sink, "PNG", compress_level=3)
        return sink.getvalue(), "image/png"
    shown.convert("RGB").save(sink, "JPEG", quality=90)
    return sink.getvalue(), "image/jpeg"


def _named(image: Image.Image, name: str) -> Image.Image:
    """With a name that errors and records call it by."""
    image.filename = name  # type: ignore[attr-defined]
    return image


def _digest(image: Image.Image) -> str:
    content = hashlib.blake2b(image.tobytes(), digest_size=12, person=b"picture")
    content.update(repr(image.size).encode())
    return content.hexdigest()


__all__ = ["ImageError", "MAX_PIXELS", "StoredImage", "ImageStore", "encoded"]
