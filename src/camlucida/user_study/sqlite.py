"""The SQLite file of a study, and its errors as readable messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from camlucida.errors import DataError

TIMEOUT_S = 10.0
"""Time in seconds to wait for another writer."""

ERROR_TEXTS = {
    "SQLITE_BUSY": "is held by another program. Close what has it open, and try again: nothing is lost",
    "SQLITE_LOCKED": "is held by another program. Close what has it open, and try again: nothing is lost",
    "SQLITE_READONLY": "may not be written to. Answers need a file and a folder that can be: change their permissions",
    "SQLITE_CANTOPEN": "cannot be opened. Is it still there, and may it be read?",
    "SQLITE_FULL": "does not fit on the disk any more. Make room, and try again",
    "SQLITE_IOERR": "cannot be read or written: the disk refuses. Is it still there?",
    "SQLITE_CORRUPT": "is damaged. Put back a copy of it",
    "SQLITE_NOTADB": "is no SQLite file. Is it the right one?",
}


@contextmanager
def open_database(path: Path, *, new: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a connection whose changes are committed together or not at all.

    Args:
        path: The file.
        new: Whether the file may be created. Otherwise a missing file is an error, rather than replaced by an empty
            one.

    Yields:
        The connection.

    Raises:
        DataError: If SQLite fails, with a readable message.
    """
    try:
        uri = f"{path.absolute().as_uri()}?mode={'rwc' if new else 'rw'}"
        with closing(sqlite3.connect(uri, uri=True, timeout=TIMEOUT_S)) as connection:
            connection.execute("pragma foreign_keys = on")
            with connection:
                yield connection
    except sqlite3.Error as error:
        raise DataError(_error_message(path, error)) from None


def _error_message(path: Path, error: sqlite3.Error) -> str:
    code = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])  # such as SQLITE_READONLY_DBMOVED
    if code in ERROR_TEXTS:
        text = ERROR_TEXTS[code]
        return f"{path} {text}{'' if text.endswith('?') else '.'}"
    if str(error).startswith("no such"):
        return f"{path} is no study: {error}."
    return f"{path} cannot be used: {error}."
