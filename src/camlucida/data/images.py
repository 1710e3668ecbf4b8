"""Reading of images from any source as upright RGB, with an `ImageError` that explains every failure.

- `load_image`: a path, file object, bytes, Pillow image or array to an upright RGB image
- `image_files`: the images of a folder

Untrusted files are safe to read: the size is checked before any pixel is decoded, only plain image formats are tried
(EPS would start Ghostscript), truncated images are errors, and no global setting of Pillow is changed.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.data.convert import from_array, to_rgb
from camlucida.errors import ImageError, nearest
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

_SUFFIXES = ".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .avif .jp2 .ico"
SUFFIXES = frozenset(_SUFFIXES.split())
"""Suffixes, in lower case, of the files that `image_files` returns."""

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

MAX_LISTED = 5000
"""Largest number of names in a folder that are searched for a suggestion."""


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
        name = getattr(source, "filename", "") or "the Pillow picture"
        _check_pixels(source.size, max_pixels, str(name))
        _check_bytes(source, max_bytes, str(name))
        return _with_name(str(name), to_rgb, source)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(io.BytesIO(source), f"the {len(source)} bytes given", max_pixels, max_bytes)
    if isinstance(source, str | os.PathLike):
        with _open(source) as stream:
            return _decode(stream, str(source), max_pixels, max_bytes)
    if hasattr(source, "read"):
        return _decode(
            _read_into_memory(source), str(getattr(source, "name", "") or "the file object"), max_pixels, max_bytes
        )
    kind = f"{type(source).__module__}.{type(source).__qualname__}"
    hint = " Pass tensor.permute(1, 2, 0).numpy(), in [0, 1]." if kind.startswith("torch.") else ""
    raise ImageError(f"a {kind} is no picture: pass a path, bytes, a file, a Pillow picture or an array.{hint}")


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
        return f"the file is cut off ({text}). Download or copy it again."
    return f"the file is damaged or of a kind that Pillow cannot decode ({text}). Save it again as PNG or JPEG."


def _check_pixels(size: tuple[int, ...], max_pixels: int, name: str) -> None:
    pixels = int(np.prod(size, dtype=np.int64))
    if pixels > max_pixels:
        raise ImageError(
            f"{name} is {' x '.join(map(str, size))}, {pixels / 1e6:,.0f} megapixels; the limit is "
            f"{max_pixels / 1e6:,.0f} (max_pixels). Make it smaller."
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
            f"{max_bytes / 1e6:,.0f} (max_bytes). Make it smaller, or cut it into parts."
        )


ONE_BYTE_MODES = ("1", "L", "P")
"""Modes that Pillow stores in one byte per pixel; RGB takes four, like RGBA."""


def _decode(stream: IO[bytes], name: str, max_pixels: int, max_bytes: int) -> Image.Image:
    def read(stream: IO[bytes]) -> Image.Image:
        with identify(stream) as image:
            _check_pixels(image.size, max_pixels, "the picture")
            _check_bytes(image, max_bytes, "the picture")
            return to_rgb(image)

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
    raise ImageError(f"it is no picture that Pillow knows: {_looks_like(start)}.")


def _detects(answer: object) -> bool:
    """Return whether a plugin accepts a file. A text means that a library needed for the format is missing."""
    return bool(answer) and not isinstance(answer, str)


def _looks_like(start: bytes) -> str:
    for pattern, description in FOREIGN_SIGNATURES:
        if re.match(pattern, start, re.IGNORECASE | re.DOTALL):
            return f"it looks like {description}"
    words = " ".join(start[:60].decode("utf-8", "replace").split())
    if words.isprintable() and "\ufffd" not in words[:-1]:  # the last character may be truncated
        return f"it looks like text that begins {words[:40]!r}"
    return f"it begins with the bytes {start[:8].hex(' ')}"


def read_bytes(source: str | os.PathLike[str] | BinarySource) -> bytes:
    """Return the bytes of a file as stored. Raises `ImageError` like `load_image`."""
    if isinstance(source, str | os.PathLike):
        with _open(source) as stream:
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
        raise ImageError("the file object gives text: open it in binary mode, open(path, 'rb').")
    return io.BytesIO(content)


def _open(source: str | os.PathLike[str]) -> IO[bytes]:
    """Open a regular file. Raises `ImageError`, which describes what the path is instead."""
    path = expand_path(source)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{path} is a folder: pass one of its pictures, or image_files() for all of them.")
        if not stat.S_ISREG(mode):  # reading a pipe or a device might never end
            raise ImageError(f"{path} is no plain file (a pipe, a socket or a device).")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file_error(path) from None
    except PermissionError:
        raise ImageError(f"no permission to read {path}. Check its owner and rights: ls -l.") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ImageError(f"{str(path)[:60]!r}... is too long for a file's name. Is it the content?") from None
        raise ImageError(f"cannot open {path}: {error.strerror or error}.") from error
    except ValueError as error:  # a zero byte in the name
        raise ImageError(f"{str(path)!r} is no file name: {error}.") from None


def expand_path(source: str | os.PathLike[str]) -> Path:
    """Return the path with `~` expanded. Raises `ImageError` for an empty string and for a URL."""
    text = os.fspath(source)
    if not text:
        raise ImageError("an empty text is no path to a picture.")
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE) or text[:11].startswith("data:image/"):
        raise ImageError(f"{text[:80]!r} is an address, not a file. Download it first and pass the path.")
    return Path(os.path.expanduser(text))  # Path.expanduser raises for a file '~a.jpg'


def missing_file_error(path: Path) -> ImageError:
    """Return the error for a path that does not exist, with the most similar name that does."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        return ImageError(f"no file {path}: {folder} is a file, not a folder.")
    missing_part = path.absolute().relative_to(folder).parts[0]
    names = _names(folder)
    same_but_case = [name for name in names if name.casefold() == missing_part.casefold()]  # IMG_1.JPG for img_1.jpg
    suggestion = f" Did you mean {same_but_case[0]!r}?" if same_but_case else nearest(missing_part, names)
    if folder == path.absolute().parent:
        return ImageError(f"no file {path.name!r} in {folder}.{suggestion}")
    return ImageError(f"no file {path}: there is no {missing_part!r} in {folder}.{suggestion}")


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in islice(entries, MAX_LISTED))
    except OSError:
        return []


def image_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the images in a folder and its sub-folders, sorted by path; a file is returned as it is.

    Files are selected by suffix, ignoring case. Hidden files and folders are skipped; linked folders are followed once.
    Raises `ImageError` if the path does not exist, cannot be read or contains no image.
    """
    root = expand_path(path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise missing_file_error(root)
    files = sorted(file for file in _walk(root) if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ImageError(f"no pictures in {root} (looked for {_SUFFIXES}, in its folders too).")
    return files


def _walk(root: Path) -> Iterator[Path]:
    def raise_image_error(error: OSError) -> None:
        raise ImageError(f"cannot look into {error.filename}: {error.strerror}.") from error

    visited: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=raise_image_error):
        real = os.path.realpath(folder)
        if real in visited:
            folders.clear()  # a link to a parent folder would cause an infinite loop
            continue
        visited.add(real)
        visible = (name for name in folders if not name.startswith("."))
        # Links are visited last, so that the images of a folder that is also linked keep their own paths.
        folders[:] = sorted(visible, key=lambda name: (os.path.islink(os.path.join(folder, name)), name))
        yield from (Path(folder, name) for name in files if not name.startswith("."))
