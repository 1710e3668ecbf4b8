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

from camlucida._optional import need
from camlucida.data.images import SUFFIXES, image_files
from camlucida.errors import DataError

URL_PATTERN = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

VERSION_KEYS = frozenset(
    ("size", "mtime", "created", "lastmodified", "last_modified", "updated", "etag", "checksum", "md5hash", "version")
)
"""What of that which stores say about a file changes with its content, in lower case."""

OUTPUT_FOLDER = "camlucida-out"
"""Where commands write unless told otherwise: no data set looks into it."""


@dataclass(frozen=True)
class RemotePath:
    """A file or folder behind an address; `read` makes it something that `load_image` takes."""

    url: str

    @cached_property
    def _resolved(self) -> tuple[Any, str]:
        fsspec = need("fsspec", extra="remote", what=f"opening {self.url}")
        try:
            filesystem, path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:  # a protocol whose package is missing, or that nobody knows
            raise DataError(f"cannot open {self.url}: {error}.") from None
        return filesystem, path

    def __reduce__(self) -> tuple[type[RemotePath], tuple[str]]:
        return RemotePath, (self.url,)  # connections stay where they were made

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url.rstrip('/')}/{name}")

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
    def parent(self) -> RemotePath:
        return RemotePath(self.url.rstrip("/").rpartition("/")[0])

    def is_file(self) -> bool:
        return bool(self._call(lambda filesystem, path: filesystem.isfile(path)))

    def is_dir(self) -> bool:
        return bool(self._call(lambda filesystem, path: filesystem.isdir(path)))

    def read(self) -> bytes:
        """All of it, at once."""
        content: bytes = self._call(lambda filesystem, path: filesystem.cat_file(path))
        return content

    read_bytes = read

    def stamp(self) -> str:
        """Text that changes with the file, as far as its store says: size, time, checksum."""
        info = self._call(lambda filesystem, path: filesystem.info(path))
        return repr(sorted((key, str(info[key])) for key in info if key.lower() in VERSION_KEYS))

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read().decode(encoding)

    def iterdir(self) -> list[RemotePath]:
        entries = self._call(lambda filesystem, path: filesystem.ls(path, detail=False))
        return [self / PurePosixPath(str(entry).rstrip("/")).name for entry in entries]

    def files(self) -> list[str]:
        """Everything below it, as paths from here."""
        paths = self._call(lambda filesystem, path: filesystem.find(path))
        start = len(self._resolved[1].rstrip("/")) + 1
        return sorted(str(path)[start:] for path in paths)

    def _call(self, operation: Callable[[Any, str], Any]) -> Any:
        """Storage raises what it likes: all of it becomes OSError, which names the address."""
        filesystem, path = self._resolved
        try:
            return operation(filesystem, path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.url} is not there") from None
        except Exception as error:
            raise OSError(f"cannot read {self.url}: {error or type(error).__name__}") from error


Location: TypeAlias = Path | RemotePath


def location_of(text: str | os.PathLike[str] | RemotePath) -> Location:
    """A folder or file here or elsewhere, not yet looked at."""
    if isinstance(text, RemotePath):
        return text
    if URL_PATTERN.match(os.fspath(text)):
        return RemotePath(str(text))
    return Path(os.path.expanduser(text))


def images_in(location: Location) -> list[tuple[str, Location]]:
    """(path from here, file) of the pictures below a folder, by suffix, sorted; hidden ones are left out.

    Raises `ImageError` or `DataError` where there is none.
    """
    if isinstance(location, Path):
        root = location if not location.is_file() else location.parent
        files = ((file.relative_to(root).as_posix(), file) for file in image_files(location))
        result: list[tuple[str, Location]] = [
            (name, file) for name, file in files if OUTPUT_FOLDER not in name.split("/")
        ]
    else:
        try:
            names = location.files()
        except OSError as error:
            raise DataError(f"{error}.") from None
        visible = (name for name in names if not any(part.startswith(".") for part in name.split("/")))
        result = [(name, location / name) for name in visible if PurePosixPath(name).suffix.lower() in SUFFIXES]
    if not result:
        raise DataError(f"no pictures in {location}.")
    return result


def locate_pieces(
    dataset_name: str, root: Location, pieces: Mapping[str, Sequence[str]], layout: str
) -> dict[str, Location]:
    """Where each piece lies: the first of the names it may have under `root`.

    layout  what the whole looks like, for the error: `DataError`, which names every piece that is missing
    """
    if not root.is_dir():
        raise DataError(f"{dataset_name}: there is no folder {root}. It is: {layout}")
    locations = {key: first_existing(root, names) for key, names in pieces.items()}
    missing = [f"{names[0]} is missing in {root}" for key, names in pieces.items() if locations[key] is None]
    if missing:
        raise DataError(f"{dataset_name}: {'; '.join(missing)}. The layout is: {layout}")
    return {key: location for key, location in locations.items() if location is not None}


def list_folder(location: Location) -> list[Location]:
    """What lies in a folder, sorted by name. Raises `DataError`."""
    try:
        return sorted(location.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot look into {location}: {error}.") from None


def first_existing(root: Location, names: Sequence[str]) -> Location | None:
    """The first of these that is there."""
    return next(
        (location for name in names if (location := root / name if name else root).is_file() or location.is_dir()), None
    )


def read_lines(location: Location) -> list[str]:
    """The lines of a text file that are not empty. Raises `DataError`."""
    try:
        text = location.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {location}: {error}.") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
