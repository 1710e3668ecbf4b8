"""Write files atomically: a crash, a full disk or a second process never leaves a partial file.

    atomic_write    writes bytes or text to a file
    atomic_stream   the same with an open file; atomic_path for functions that need a path
    write_image     renders an image and saves it by suffix
    delete_files    deletes files, and returns how many
    make_folder     creates a folder with its parents
    writing         converts errors of the system to `OutputError`

A file is written next to its destination under a name that is unique to the process and thread, flushed to disk and
renamed, and the folder is flushed. After a crash or a power failure the file is either the old one or the new one. This
is the only module that opens files for writing.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from camlucida.errors import ImageError, OutputError

if TYPE_CHECKING:  # imported by the command line, whose help needs no Pillow
    from PIL import Image

IMAGES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
"""Supported image suffixes, with Pillow's names of the formats."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 3},  # the default level takes three times as long and saves 1 %
    "TIFF": {"compression": "tiff_adobe_deflate"},
}

TEMPORARY = ".camlucida-"
"""Prefix of the names of unfinished files, whose suffix is ".part"."""

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def write_image(drawn: Callable[[], Image.Image], path: Path, *, also: Sequence[str] = ()) -> None:
    """Render an image and save it in the format of the suffix of `path`.

    Args:
        drawn: Returns the image; called only if the suffix is supported.
        path: The file.
        also: Further suffixes that the caller supports, for the message.

    Raises:
        ImageError: The suffix is not an image format. Raised before anything is rendered.
        OutputError: The file cannot be written.
    """
    kind = IMAGES.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"cannot save an image as {path.name!r}: use {written_suffixes(also)}, or .npz for the map.")
    image = drawn()
    with atomic_stream(path) as stream:
        image.save(stream, kind, **_OPTIONS.get(kind, {"quality": 92}))


def written_suffixes(also: Sequence[str] = ()) -> str:
    """Return the suffixes of the files that can be written, as text: ".png, .jpg, .webp or .tif"."""
    names = [".png", ".jpg", ".webp", ".tif", *also]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file, as notebooks display it."""
    stream = io.BytesIO()
    image.save(stream, "png", compress_level=3)
    return stream.getvalue()


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write a file completely or not at all.

    Args:
        path: The file; its folder is created if it is missing. Where it is a symbolic link, its target is replaced.
        content: Bytes, or text that is written as UTF-8 with lone surrogates escaped.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_stream(path) as stream:
        stream.write(content.encode("utf-8", errors="backslashreplace") if isinstance(content, str) else content)


@contextmanager
def atomic_stream(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that is written completely or not at all: it is renamed when the block ends without an error.

    Args:
        path: The file; its folder is created if it is missing. Devices and pipes are written to directly.

    Raises:
        OutputError: The file cannot be written.
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        mode = _mode(target)
        if mode is not None and stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if mode is not None and not stat.S_ISREG(mode):  # /dev/stdout or a named pipe cannot be replaced
            with target.open("wb") as stream:
                yield stream
            return
        _make(target.parent)
        temporary = target.with_name(_temporary_name())
        try:
            with temporary.open("xb") as stream:
                if mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(stream.fileno(), stat.S_IMODE(mode))
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _flush_folder(target.parent)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path for functions that need one; it is renamed when the block ends without an error.

    Args:
        path: The file; its folder is created if it is missing.

    Raises:
        OutputError: The file cannot be written.
    """
    with writing(path):
        _make(path.parent)
        temporary = path.with_name(_temporary_name())
        try:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert an `OSError` in the block to an `OutputError` that names `path` and gives advice."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from None


def reason_of(error: OSError) -> str:
    """Return why the system refused, with advice where there is any, as sentences."""
    reason = f"{error.strerror or error}."
    if error.errno in FULL:
        return f"{reason} Make room, or choose another folder."
    if error.errno in DENIED:
        return f"{reason} Choose another folder, or change its permissions."
    return reason


def delete_files(paths: Iterable[Path]) -> int:
    """Delete files and return how many there were. Raises `OutputError` for a file that cannot be deleted."""
    n_deleted = 0
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot delete {path}: {error.strerror or error}.") from None
        n_deleted += 1
    return n_deleted


def make_folder(path: Path) -> None:
    """Create a folder with its parents, flushed to disk.

    Raises:
        OutputError: The folder cannot be created, or a file is in the way.
    """
    with writing(path):
        _make(path)


def remove_leftovers(folder: Path) -> None:
    """Delete unfinished files of killed processes in a folder. Call it only while nothing else writes there."""
    with suppress(OSError):
        for file in folder.glob(f"{TEMPORARY}*.part"):
            with suppress(OSError):
                file.unlink()


def _make(path: Path) -> None:
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        _flush_folder(folder.parent)


def _temporary_name() -> str:
    """Return a name that no other process or thread uses, on this machine or another one with the same disk."""
    return f"{TEMPORARY}{os.getpid()}-{threading.get_ident()}-{secrets.token_hex(4)}.part"


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _flush_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk, where the system supports it."""
    if sys.platform == "win32":
        return
    with suppress(OSError):  # some network disks do not support it; the file itself is flushed
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
