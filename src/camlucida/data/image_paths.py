"""Paths of image files: opened, listed by folder, and explained by an `ImageError` where they do not exist."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from camlucida.errors import ImageError, nearest

_SUFFIXES = ".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .avif .jp2 .ico"
SUFFIXES = frozenset(_SUFFIXES.split())
"""Suffixes, in lower case, of the files that `image_files` returns."""

MAX_LISTED = 5000
"""Largest number of names in a folder that are searched for a suggestion."""


def open_file(source: str | os.PathLike[str]) -> IO[bytes]:
    """Open a regular file. Raises `ImageError`, which describes what the path is instead."""
    path = expand_path(source)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{path} is a folder. Pass one of its images, or image_files() for all of them.")
        if not stat.S_ISREG(mode):  # reading a pipe or a device might never end
            raise ImageError(f"{path} is not a regular file (a pipe, a socket or a device).")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file_error(path) from None
    except PermissionError:
        raise ImageError(f"no permission to read {path}. Check its owner and permissions: ls -l.") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ImageError(
                f"{str(path)[:60]!r}... is too long for a file name. Is it the content of a file?"
            ) from None
        raise ImageError(f"cannot open {path}: {error.strerror or error}.") from error
    except ValueError as error:  # a zero byte in the name
        raise ImageError(f"{str(path)!r} is not a valid file name: {error}.") from None


def expand_path(source: str | os.PathLike[str]) -> Path:
    """Return the path with `~` expanded. Raises `ImageError` for an empty string and for a URL."""
    text = os.fspath(source)
    if not text:
        raise ImageError("an empty string is not a path to an image.")
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE) or text[:11].startswith("data:image/"):
        raise ImageError(f"{text[:80]!r} is a URL, not a file. Download it first and pass the path.")
    return Path(os.path.expanduser(text))  # Path.expanduser raises for a file '~a.jpg'


def missing_file_error(path: Path) -> ImageError:
    """Return the error for a path that does not exist, with the most similar name that does."""
    if path.is_symlink():
        return ImageError(f"{path} is a link to {os.readlink(path)!r}, which does not exist.")
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
        raise ImageError(f"no images in {root} or its sub-folders. Expected files with these suffixes: {_SUFFIXES}.")
    return files


def _walk(root: Path) -> Iterator[Path]:
    def raise_image_error(error: OSError) -> None:
        raise ImageError(f"cannot list {error.filename}: {error.strerror}.") from error

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
