"""Pictures on their way out: to a file, or to a notebook."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from camlucida.errors import ImageError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""How a picture may be saved."""


def write_picture(drawn: Callable[[], Image.Image], path: Path) -> None:
    """Draw and save by suffix; `ImageError` for a suffix that means no picture, before anything is drawn."""
    if path.suffix.lower() not in PICTURES:
        raise ImageError(f"cannot save a picture as {path.name!r}: use .png, .jpg or .webp, or .npz for the map.")
    picture = drawn()
    with writing(path):
        if path.suffix.lower() == ".png":  # the default level takes three times as long for 1 % less
            picture.save(path, compress_level=3)
        else:
            picture.save(path, quality=92)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make the folder of `path`; what the disk refuses becomes an `ImageError` that names the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror or error}.") from None


def png(picture: Image.Image) -> bytes:
    """As a notebook shows it."""
    stream = io.BytesIO()
    picture.save(stream, "png", compress_level=3)
    return stream.getvalue()
