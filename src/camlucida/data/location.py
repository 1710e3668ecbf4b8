"""Local folders and URLs (s3://, gs://, https://, memory://, through fsspec) behind one interface.

- `location_of`: user input to a `Location`: a `Path`, or a `RemotePath` with the same few methods
- `images_in`: the images below a location
- `locate_pieces`: the pieces of a dataset layout, or an error that lists every missing one

Files are downloaded only when they are read, and they are not cached.
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
from camlucida.data.image_paths import SUFFIXES, image_files
from camlucida.errors import DataError

URL_PATTERN = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

VERSION_KEYS = frozenset(
    ("size", "mtime", "created", "lastmodified", "last_modified", "updated", "etag", "checksum", "md5hash", "version")
)
"""Keys, in lower case, of the file information of a store that change with the content of a file."""

OUTPUT_FOLDER = "camlucida-out"
"""Default output folder of the commands, which datasets skip."""


@dataclass(frozen=True)
class RemotePath:
    """A file or folder at a URL. With its method `read`, it is a valid source for `load_image`."""

    url: str

    @cached_property
    def _resolved(self) -> tuple[Any, str]:
        fsspec = need("fsspec", extra="remote", what=f"opening {self.url}")
        try:
            filesystem, path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:  # unknown protocol, or its package is not installed
            raise DataError(f"cannot open {self.url}: {error}.") from None
        return filesystem, path

    def __reduce__(self) -> tuple[type[RemotePath], tuple[str]]:
        return RemotePath, (self.url,)  # connections cannot be pickled

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """Return the last segment of the URL."""
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def stem(self) -> str:
        """Return the name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """Return the suffix of the name, with the dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """Return the folder that contains this file or folder."""
        return RemotePath(self.url.rstrip("/").rpartition("/")[0])

    def is_file(self) -> bool:
        """Return whether a file exists at the URL."""
        return bool(self._call(lambda filesystem, path: filesystem.isfile(path)))

    def is_dir(self) -> bool:
        """Return whether a folder exists at the URL."""
        return bool(self._call(lambda filesystem, path: filesystem.isdir(path)))

    def read(self) -> bytes:
        """Return the whole content."""
        content: bytes = self._call(lambda filesystem, path: filesystem.cat_file(path))
        return content

    read_bytes = read

    def stamp(self) -> str:
        """Return a text that changes with the file, as far as its store reports it: size, time, checksum."""
        info = self._call(lambda filesystem, path: filesystem.info(path))
        return repr(sorted((key, str(info[key])) for key in info if key.lower() in VERSION_KEYS))

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the whole content, decoded."""
        return self.read().decode(encoding)

    def iterdir(self) -> list[RemotePath]:
        """Return the entries of this folder."""
        entries = self._call(lambda filesystem, path: filesystem.ls(path, detail=False))
        return [self / PurePosixPath(str(entry).rstrip("/")).name for entry in entries]

    def files(self) -> list[str]:
        """Return the paths of all files below this folder, relative to it."""
        paths = self._call(lambda filesystem, path: filesystem.find(path))
        start = len(self._resolved[1].rstrip("/")) + 1
        return sorted(str(path)[start:] for path in paths)

    def _call(self, operation: Callable[[Any, str], Any]) -> Any:
        """Call an operation of the file system and convert any exception to an `OSError` that names the URL."""
        filesystem, path = self._resolved
        try:
            return operation(filesystem, path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.url} does not exist") from None
        except Exception as error:
            raise OSError(f"cannot read {self.url}: {error or type(error).__name__}") from error


Location: TypeAlias = Path | RemotePath


def location_of(text: str | os.PathLike[str] | RemotePath) -> Location:
    """Return a local path or URL as a `Location`, without accessing it."""
    if isinstance(text, RemotePath):
        return text
    if URL_PATTERN.match(os.fspath(text)):
        return RemotePath(str(text))
    return Path(os.path.expanduser(text))


def images_in(location: Location) -> list[tuple[str, Location]]:
    """Return the images below a folder, selected by suffix and sorted, as (relative path, file).

    Hidden files are skipped. Raises `ImageError` or `DataError` if there are no images.
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
        raise DataError(f"no images in {location}.")
    return result


def locate_pieces(
    dataset_name: str, root: Location, pieces: Mapping[str, Sequence[str]], layout: str
) -> dict[str, Location]:
    """Return the location of each piece of a dataset: the first of its possible names that exists under `root`.

    Args:
        dataset_name: The name of the dataset, for the error.
        root: The folder of the dataset.
        pieces: The possible names of each piece.
        layout: A description of the whole layout, for the error.

    Raises:
        DataError: If pieces are missing; the message names all of them.
    """
    if not root.is_dir():
        raise DataError(f"{dataset_name}: the folder {root} does not exist. The expected layout is: {layout}")
    locations = {key: first_existing(root, names) for key, names in pieces.items()}
    missing = [f"{names[0]} is missing in {root}" for key, names in pieces.items() if locations[key] is None]
    if missing:
        raise DataError(f"{dataset_name}: {'; '.join(missing)}. The expected layout is: {layout}")
    return {key: location for key, location in locations.items() if location is not None}


def list_folder(location: Location) -> list[Location]:
    """Return the entries of a folder, sorted by name. Raises `DataError` if it cannot be read."""
    try:
        return sorted(location.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot list {location}: {error}.") from None


def first_existing(root: Location, names: Sequence[str]) -> Location | None:
    """Return the first of the named files or folders under `root` that exists; None if there is none."""
    return next(
        (location for name in names if (location := root / name if name else root).is_file() or location.is_dir()), None
    )


def read_lines(location: Location) -> list[str]:
    """Return the non-empty lines of a text file, stripped. Raises `DataError` if it cannot be read."""
    try:
        text = location.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {location}: {error}.") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
