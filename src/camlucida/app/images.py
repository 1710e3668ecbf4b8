"""The images of the app by opaque id: samples of the data set, and uploads, which are kept in memory only."""

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
"""Maximum number of pixels of an upload; larger images are not decoded."""
MAX_UPLOAD_BYTES = 192 << 20
"""Maximum size, in bytes, of the decoded uploads that are kept."""
MAX_SAMPLE_BYTES = 96 << 20
"""Maximum size, in bytes, of the decoded samples that are kept."""


@dataclass(frozen=True, eq=False)
class StoredImage:
    """One decoded image.

    Attributes:
        id: `s<number>` for a sample, `u<hash>` for an upload.
        name: The display name.
        image: The pixels.
        digest: The hash of the pixels, part of cache keys.
        label: Its class index in the data set, if it has one.
        index: Its index in the data set, for samples.
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
    """The images by id. Client input is never used as a path: an id is an index, or a key of an image in memory."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self._uploads: Cache[StoredImage] = Cache(MAX_UPLOAD_BYTES, _bytes)
        self._samples: Cache[StoredImage] = Cache(MAX_SAMPLE_BYTES, _bytes)
        self._lock = threading.Lock()

    def sample(self, index: int) -> StoredImage:
        """Return the image at an index of the data set.

        Raises:
            ImageError: If it cannot be read.
        """
        id_ = f"s{index}"
        stored_image = self._samples.get(id_)
        if stored_image is None:
            item = self.data[index]
            try:
                image = _named(load_image(item.image), item.name)
            except ImageError as error:  # the client must not learn where the files are
                raise ImageError(str(error).replace(str(item.image), item.name)) from error.__cause__
            stored_image = StoredImage(id_, item.name, image, _digest(image), item.label, index)
            self._samples.put(id_, stored_image)
        return stored_image

    def add_upload(self, content: bytes | Image.Image, name: str = "your image") -> StoredImage:
        """Keep an uploaded image in memory.

        Args:
            content: The bytes of an image file, or a decoded image.
            name: The display name.

        Raises:
            ImageError: If it cannot be read.
        """
        image = _named(load_image(content, max_pixels=MAX_PIXELS), name)
        digest = _digest(image)
        stored_image = StoredImage(f"u{digest}", name, image, digest)
        self._uploads.put(stored_image.id, stored_image)
        return stored_image

    def find(self, id_: str) -> StoredImage:
        """Return the image with this id.

        Raises:
            KeyError: If there is no such image.
            ImageError: If it is a sample that cannot be read.
        """
        if re.fullmatch(r"s\d{1,12}", id_):
            index = int(id_[1:])
            if index < len(self.data):
                return self.sample(index)
        elif (upload := self._uploads.get(id_)) is not None:
            return upload
        raise KeyError(id_)

    def known(self, id_: str) -> StoredImage | None:
        """Return the image with this id if it is in memory."""
        return self._uploads.get(id_) if id_.startswith("u") else self._samples.get(id_)


def encoded(image: Image.Image, longest: int) -> bytes:
    """Encode an image for display: as PNG up to 256 pixels, which JPEG would blur, else as JPEG.

    Args:
        image: The image.
        longest: The maximum length of the longer side, in pixels.
    """
    displayed = shrink_image(image, longest)
    sink = io.BytesIO()
    if max(displayed.size) <= 256:
        displayed.save(sink, "PNG", compress_level=3)
        return sink.getvalue()
    displayed.convert("RGB").save(sink, "JPEG", quality=90)
    return sink.getvalue()


def media_type(content: bytes) -> str:
    """Return the media type of an encoded image."""
    return "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"


def _named(image: Image.Image, name: str) -> Image.Image:
    """Return the image with a name for error messages and records."""
    image.filename = name  # type: ignore[attr-defined]
    return image


def _digest(image: Image.Image) -> str:
    content = hashlib.blake2b(image.tobytes(), digest_size=12, person=b"picture")
    content.update(repr(image.size).encode())
    return content.hexdigest()
