"""Where data sets lie: a folder here, or an address (s3://, gs://, https://, memory://) opened through fsspec.

    place_of      what a user types -> a Place: a `Path`, or a `Remote` that answers to the same few questions
    pictures_in   the pictures below it
    required      the pieces of a layout, or an error that names every one that is missing

Nothing is fetched before it is read, and nothing is kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from camlucida.data.images import SUFFIXES, image_files
from camlucida.errors import DataError
from camlucida.extras import need

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

STAMPS = frozenset(
    ("size", "mtime", "created", "lastmodified", "last_modified", "updated", "etag", "checksum", "md5hash", "version")
)
"""What of that which stores say about a file changes with its content, in lower case."""

OURS = "camlucida-out"
"""Where commands write unless told otherwise: no data set looks into it."""


@dataclass(frozen=True)
class Remote:
    """A file or folder behind an address; `read` makes it something that `load_image` takes."""

    url: str

    @cached_property
    def _at(self) -> tuple[Any, str]:
        fsspec = need("fsspec", extra="remote", what=f"opening {self.url}")
        try:
            filesystem, path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:  # a protocol whose package is missing, or that nobody knows
            raise DataError(f"cannot open {self.url}: {error}.") from None
        return filesystem, path

    def __reduce__(self) -> tuple[type[Remote], tuple[str]]:
        return Remote, (self.url,)  # connections stay where they were made

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Remote:
        return Remote(self.url.rstrip("/").rpartition("/")[0])

    def is_file(self) -> bool:
        return bool(self._asked(lambda filesystem, path: filesystem.isfile(path)))

    def is_dir(self) -> bool:
        return bool(self._asked(lambda filesystem, path: filesystem.isdir(path)))

    def read(self) -> bytes:
        """All of it, at once."""
        content: bytes = self._asked(lambda filesystem, path: filesystem.cat_file(path))
        return content

    read_bytes = read

    def stamp(self) -> str:
        """Text that changes with the file, as far as its store says: size, time, checksum."""
        about = self._asked(lambda filesystem, path: filesystem.info(path))
        return repr(sorted((key, str(about[key])) for key in about if key.lower() in STAMPS))

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read().decode(encoding)

    def iterdir(self) -> list[Remote]:
        entries = self._asked(lambda filesystem, path: filesystem.ls(path, detail=False))
        return [self / PurePosixPath(str(entry).rstrip("/")).name for entry in entries]

    def files(self) -> list[str]:
        """Everything below it, as paths from here."""
        found = self._asked(lambda filesystem, path: filesystem.find(path))
        start = len(self._at[1].rstrip("/")) + 1
        return sorted(str(path)[start:] for path in found)

    def _asked(self, question: Callable[[Any, str], Any]) -> Any:
        """Storage raises what it likes: all of it becomes OSError, which names the address."""
        filesystem, path = self._at
        try:
            return question(filesystem, path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.url} is not there") from None
        except Exception as error:
            raise OSError(f"cannot read {self.url}: {error or type(error).__name__}") from error


Place: TypeAlias = Path | Remote


def place_of(text: str | os.PathLike[str] | Remote) -> Place:
    """A folder or file here or elsewhere, not yet looked at."""
    if isinstance(text, Remote):
        return text
    if ADDRESS.match(os.fspath(text)):
        return Remote(str(text))
    return Path(os.path.expanduser(text))


def pictures_in(place: Place) -> list[tuple[str, Place]]:
    """(path from here, file) of the pictures below a folder, by suffix, sorted; hidden ones are left out.

    Raises `ImageError` or `DataError` where there is none.
    """
    if isinstance(place, Path):
        root = place if not place.is_file() else place.parent
        named = ((file.relative_to(root).as_posix(), file) for file in image_files(place))
        found: list[tuple[str, Place]] = [(name, file) for name, file in named if OURS not in name.split("/")]
    else:
        try:
            names = place.files()
        except OSError as error:
            raise DataError(f"{error}.") from None
        shown = (name for name in names if not any(part.startswith(".") for part in name.split("/")))
        found = [(name, place / name) for name in shown if PurePosixPath(name).suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(f"no pictures in {place}.")
    return found


def required(what: str, root: Place, pieces: Mapping[str, Sequence[str]], layout: str) -> dict[str, Place]:
    """Where each piece lies: the first of the names it may have under `root`.

    layout  what the whole looks like, for the error: `DataError`, which names every piece that is missing
    """
    if not root.is_dir():
        raise DataError(f"{what}: there is no folder {root}. It is: {layout}")
    found = {key: first(root, names) for key, names in pieces.items()}
    missing = [f"{names[0]} is missing in {root}" for key, names in pieces.items() if found[key] is None]
    if missing:
        raise DataError(f"{what}: {'; '.join(missing)}. The layout is: {layout}")
    return {key: place for key, place in found.items() if place is not None}


def inside(place: Place) -> list[Place]:
    """What lies in a folder, sorted by name. Raises `DataError`."""
    try:
        return sorted(place.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot look into {place}: {error}.") from None


def first(root: Place, names: Sequence[str]) -> Place | None:
    """The first of these that is there."""
    return next((place for name in names if (place := root / name if name else root).is_file() or place.is_dir()), None)


def lines_of(place: Place) -> list[str]:
    """The lines of a text file that are not empty. Raises `DataError`."""
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {place}: {error}.") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
