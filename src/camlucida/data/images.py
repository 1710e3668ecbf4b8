"""Reading of images from any source as upright RGB, with an `ImageError` that explains every failure.

Untrusted files are safe to read: the size is checked before any pixel is decoded, only plain image formats are tried
(EPS would start Ghostscript), truncated images are errors, and no global setting of Pillow is changed.
"""

from __future__ import annotations

import io
import os
import re
import struct
from contextlib import suppress
from typing import IO, Annotated, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.data.convert import from_array, to_rgb
from camlucida.data.image_paths import open_file
from camlucida.errors import ImageError
from camlucida.options import Between, checked_arguments


class BinarySource(Protocol):
    """Protocol of a source of bytes: a file object, or a reference to a file in a remote store."""

    def read(self) -> bytes:
        """Return the whole content."""


Source: TypeAlias = str | os.PathLike[str] | BinarySource | bytes | bytearray | Image.Image | NDArray[Any]
"""Anything that `load_image` can read."""

MAX_PIXELS = 89_478_485
"""Default limit of width times height. It is Pillow's own warning limit (256 MiB of RGB), so that no image that passes
causes a warning later.
"""

MAX_BYTES = 800 * 2**20
"""Default memory limit for decoding and converting an image: enough for `MAX_PIXELS` of 8-bit RGB in any format."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "DIB")
"""Formats that are tried, in this order; they are detected by content, never by file name."""

FOREIGN_SIGNATURES = (
    (rb"\s*<(!doctype html|html|head|body)", "an HTML page, perhaps a failed download"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg", "an SVG drawing; export it as PNG"),
    (rb"version https://git-lfs", "a Git LFS pointer; fetch the file with `git lfs pull`"),
    (rb"%PDF", "a PDF; export the page as PNG"),
    (rb"%!PS", "PostScript; export it as PNG"),
    (rb"....ftyp(hei|hev|mif1|msf1)", "HEIC, which Pillow cannot read; convert it to JPEG"),
    (rb"....ftyp", "a video; extract a frame first"),
    (rb"\x93NUMPY", "a NumPy array; pass numpy.load(...) instead"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"\x1f\x8b", "a gzip archive"),
)
"""Patterns at the start of files that are commonly mistaken for images, each with its description for the error."""


@checked_arguments(ImageError)
def load_image(
    source: Source,
    *,
    max_pixels: Annotated[int, Between(1, 2**40)] = MAX_PIXELS,
    max_bytes: Annotated[int, Between(1, 2**60)] = MAX_BYTES,
) -> Image.Image:
    """Read an image as upright RGB with 8 bits per channel.

    EXIF orientation is applied, transparency is composited on white, 16-bit grey is scaled to 8 bits, and the first
    frame or page of an animation or document is used. Colour profiles are not applied.

    Args:
        source: A path (`~` is expanded), a binary file object (read from its start), the bytes of a file, a Pillow
            image, or an array `(h, w)` or `(h, w, 1 | 3 | 4)` of uint8, uint16, bool or float in [0, 1].
        max_pixels: Largest width times height; larger images are not decoded.
        max_bytes: Largest memory for the decoded file and the result; larger images are not decoded.

    Returns:
        A new image that shares no memory with `source`.

    Raises:
        ImageError: If the image cannot be read, for any reason.
    """
    if isinstance(source, np.ndarray):
        _check_pixels(source.shape[:2][::-1], max_pixels, "the array")
        return _with_name("the array", from_array, source)
    if isinstance(source, Image.Image):
        name = getattr(source, "filename", "") or "the Pillow image"
        _check_pixels(source.size, max_pixels, str(name))
        _check_bytes(source, max_bytes, str(name))
        return _with_name(str(name), to_rgb, source)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(io.BytesIO(source), f"the {len(source)} bytes", max_pixels, max_bytes)
    if isinstance(source, str | os.PathLike):
        with open_file(source) as stream:
            return _decode(stream, str(source), max_pixels, max_bytes)
    if hasattr(source, "read"):
        return _decode(
            _read_into_memory(source), str(getattr(source, "name", "") or "the file object"), max_pixels, max_bytes
        )
    kind = f"{type(source).__module__}.{type(source).__qualname__}".removeprefix("builtins.")
    hint = " Pass tensor.permute(1, 2, 0).numpy(), in [0, 1]." if kind.startswith("torch.") else ""
    raise ImageError(f"a {kind} is not an image: pass a path, bytes, a file, a Pillow image or an array.{hint}")


def _with_name(name: str, read: Any, value: Any) -> Image.Image:
    """Call `read` and name the image in every error."""
    try:
        image: Image.Image = read(value)
    except ImageError as error:
        raise ImageError(f"cannot read {name}: {error}") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, EOFError, struct.error ...
        raise ImageError(f"cannot read {name}: {_reason(error)}") from error
    return image


def _reason(error: Exception) -> str:
    text = str(error).rstrip(".") or type(error).__name__
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return f"the file is truncated ({text}). Download or copy it again."
    return f"the file is damaged or of a format that Pillow cannot decode ({text}). Save it again as PNG or JPEG."


def _check_pixels(size: tuple[int, ...], max_pixels: int, name: str) -> None:
    pixels = int(np.prod(size, dtype=np.int64))
    if pixels > max_pixels:
        raise ImageError(
            f"{name} is {' x '.join(map(str, size))}, {pixels / 1e6:,.0f} megapixels; the limit is "
            f"{max_pixels / 1e6:,.0f} (max_pixels). Reduce it."
        )


def _check_bytes(image: Image.Image, max_bytes: int, name: str) -> None:
    """Refuse images that take too much memory to decode: deep pixels, or millions of rows with a pointer each."""
    width, height = image.size
    pixel = 4 + (1 if image.mode in ONE_BYTE_MODES else 2 if image.mode.startswith("I;16") else 4)
    rows = 2 * 4 * width if image.format == "PNG" else 0  # its decoder buffers two rows
    needed = width * height * pixel + 2 * 8 * height + rows
    if needed > max_bytes:
        raise ImageError(
            f"{name} is {width} x {height} and would take {needed / 1e6:,.0f} MB to decode; the limit is "
            f"{max_bytes / 1e6:,.0f} (max_bytes). Reduce it, or split it into tiles."
        )


ONE_BYTE_MODES = ("1", "L", "P")
"""Modes that Pillow stores in one byte per pixel; RGB takes four, like RGBA."""


def _decode(stream: IO[bytes], name: str, max_pixels: int, max_bytes: int) -> Image.Image:
    def read(stream: IO[bytes]) -> Image.Image:
        with identify(stream) as image:
            _check_pixels(image.size, max_pixels, "the image")
            _check_bytes(image, max_bytes, "the image")
            return to_rgb(image, own=True)

    return _with_name(name, read, stream)


def identify(stream: IO[bytes]) -> Image.Image:
    """Return the image in `stream` without decoding its pixels.

    This does the work of `Image.open` without its size check, which emits a warning: a warning can only be caught by
    changing the filters of the whole process, which affects other threads.
    """
    start = stream.read(4096)
    if not start:
        raise ImageError("the file is empty (0 bytes). Download or copy it again.")
    Image.init()
    for factory, accept in (Image.OPEN[name] for name in FORMATS if name in Image.OPEN):
        if accept is not None and not _detects(accept(start[:16])):
            continue
        try:
            stream.seek(0)
            return factory(stream, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # not this format; Image.open skips the same four errors
    raise ImageError(f"it is not in an image format that Pillow can read: {_looks_like(start)}.")


def _detects(result: object) -> bool:
    """Return whether a plugin accepts a file. A string means that a library needed for the format is missing."""
    return bool(result) and not isinstance(result, str)


def _looks_like(start: bytes) -> str:
    for pattern, description in FOREIGN_SIGNATURES:
        if re.match(pattern, start, re.IGNORECASE | re.DOTALL):
            return f"it looks like {description}"
    words = " ".join(start[:60].decode("utf-8", "replace").split())
    if words.isprintable() and "\ufffd" not in words[:-1]:  # the last character may be truncated
        return f"it looks like text that begins with {words[:40]!r}"
    return f"it begins with the bytes {start[:8].hex(' ')}"


def read_bytes(source: str | os.PathLike[str] | BinarySource) -> bytes:
    """Return the bytes of a file as stored. Raises `ImageError` like `load_image`."""
    if isinstance(source, str | os.PathLike):
        with open_file(source) as stream:
            return stream.read()
    return _read_into_memory(source).read()


def _read_into_memory(source: Any) -> IO[bytes]:
    """Read a file object into memory, from its start if it is seekable."""
    with suppress(AttributeError, OSError):  # pipes and upload streams are not seekable
        source.seek(0)
    try:
        content: object = source.read()
    except OSError as error:
        raise ImageError(f"cannot read {getattr(source, 'name', 'the file object')}: {error}.") from error
    if not isinstance(content, bytes):
        raise ImageError("the file object returns text. Open it in binary mode: open(path, 'rb').")
    return io.BytesIO(content)
