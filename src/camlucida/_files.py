"""Write files so that a crash, a full disk or a second process never leaves half of one.

    atomic_write    bytes or text to a file
    atomic_stream   the same for whatever writes to an open file; atomic_path for what needs a name
    write_picture   an image, drawn and saved by suffix
    make_folder     a folder with its parents
    writing         turns what the disk refuses into an `OutputError`

A file is written beside its place under a name of its own process and thread, flushed to the disk, renamed, and the
folder is flushed: after a crash or a power cut the file is the old one or the new one. This is the only module that
opens files for writing.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from camlucida.errors import ImageError, OutputError

if TYPE_CHECKING:  # the command line writes files too, and its help needs no Pillow
    from PIL import Image

IMAGES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""How an image may be saved, and what Pillow calls the format."""

TEMPORARY = ".camlucida-"
"""How the names of files that are not finished begin; they end in ".part"."""

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def write_image(drawn: Callable[[], Image.Image], path: Path) -> None:
    """Draw an image and save it by the suffix of `path`.

    Raises:
        ImageError: The suffix names no image format. Raised before anything is drawn.
        OutputError: The disk refuses.
    """
    kind = IMAGES.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"cannot save a picture as {path.name!r}: use .png, .jpg or .webp, or .npz for the map.")
    image = drawn()
    with atomic_stream(path) as stream:
        if kind == "PNG":  # the default level takes three times as long for 1 % less
            image.save(stream, kind, compress_level=3)
        else:
            image.save(stream, kind, quality=92)


def png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file, as a notebook shows it."""
    stream = io.BytesIO()
    image.save(stream, "png", compress_level=3)
    return stream.getvalue()


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write a file as a whole or not at all.

    Args:
        path: The file; its folder is made if it is missing. Where it is a symbolic link, its target is replaced.
        content: Text is written as UTF-8; a lone surrogate, as of a file name that is no text, as Python escapes it.

    Raises:
        OutputError: The disk refuses.
    """
    with atomic_stream(path) as stream:
        stream.write(content.encode("utf-8", errors="backslashreplace") if isinstance(content, str) else content)


@contextmanager
def atomic_stream(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to be written as a whole or not at all: it takes its place when the block ends without an error.

    Args:
        path: The file; its folder is made if it is missing. Devices and pipes are written to directly.

    Raises:
        OutputError: The disk refuses.
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        mode = _mode(target)
        if mode is not None and stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if mode is not None and not stat.S_ISREG(mode):  # /dev/stdout, a named pipe: there is nothing to replace
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
    """Give a path to write to, by what needs one; the file takes its place when the block ends without an error.

    Args:
        path: The file; its folder is made if it is missing.

    Raises:
        OutputError: The disk refuses.
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
    """Turn what the disk refuses in the block into an `OutputError` that names `path` and says what to do."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from None


def reason_of(error: OSError) -> str:
    """Return why the system refused, and what to do about it where that is known, as sentences."""
    said = f"{error.strerror or error}."
    if error.errno in FULL:
        return f"{said} Make room, or choose another folder."
    if error.errno in DENIED:
        return f"{said} Choose another folder, or change its permissions."
    return said


def make_folder(path: Path) -> None:
    """Make a folder with its parents, so that it also outlasts a power cut.

    Raises:
        OutputError: The disk refuses, or a file is in the way.
    """
    with writing(path):
        _make(path)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left unfinished in a folder. Call it only while nobody else writes there."""
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
    """Flush the names in a folder to the disk, where the system can do that."""
    if sys.platform == "win32":
        return
    with suppress(OSError):  # some network disks cannot; the file itself is flushed
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
