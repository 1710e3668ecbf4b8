"""Thumbnail sheets on disk, in the user's cache folder, so that the app does not read all images again after a restart.

A file is named after what its sheet depends on: the hash of the images of the run, their indices, and the format of the
sheet. It is written atomically. A file that cannot be read or is damaged is ignored and written again. The command
`camlucida cache` lists and clears the files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from camlucida._files import atomic_write, delete_files
from camlucida.app.thumbnails import TILE_PX, WEBP_QUALITY
from camlucida.attribution.check_cache import cache_folder
from camlucida.errors import OutputError

FOLDER = "thumbnails"
"""Name of the folder of the sheets, in the cache folder."""
FORMAT = 1
"""Version of the sheets; it increases with every change of how they are drawn."""
MAX_BYTES = 256 << 20
"""Maximum size of all sheets, in bytes; those that were used longest ago are deleted first."""
RIFF_HEADER = 8
"""Bytes of a WebP file before the content whose length the header states."""


def sheet_key(data_hash: str, indices: Sequence[int]) -> str:
    """Return the name of the sheet of some images.

    Args:
        data_hash: The hash of the images of the run, which the run has verified.
        indices: The indices of the images, in the order of the sheet.
    """
    content = repr((FORMAT, TILE_PX, WEBP_QUALITY, data_hash, tuple(indices)))
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def load_sheet(key: str) -> bytes | None:
    """Return a stored sheet; None if there is none, or if its file is damaged."""
    path = _path(key)
    try:
        content = path.read_bytes()
        os.utime(path)  # used last
    except OSError:
        return None
    length = int.from_bytes(content[4:RIFF_HEADER], "little") + RIFF_HEADER
    return content if content[:4] == b"RIFF" and len(content) == length else None


def store_sheet(key: str, sheet: bytes) -> None:
    """Store a sheet, and delete the oldest ones beyond `MAX_BYTES`; nothing if the cache folder cannot be written."""
    with suppress(OutputError, OSError):
        atomic_write(_path(key), sheet)
        used = 0
        for path in sorted(stored_sheets(), key=lambda path: path.stat().st_mtime_ns, reverse=True):
            used += path.stat().st_size
            if used > MAX_BYTES:
                path.unlink(missing_ok=True)


def stored_sheets() -> Iterator[Path]:
    """Yield the files of all sheets, sorted by name."""
    with suppress(OSError):
        yield from sorted((cache_folder() / FOLDER).glob("*.webp"))


def clear_sheets() -> int:
    """Delete all sheets and return how many there were.

    Raises:
        OutputError: A file cannot be deleted.
    """
    return delete_files(stored_sheets())


def _path(key: str) -> Path:
    return cache_folder() / FOLDER / f"{key}.webp"
