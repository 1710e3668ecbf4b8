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
    "SQLITE_BUSY": "is locked by another program. Close that program and try again; no answer is lost",
    "SQLITE_LOCKED": "is locked by another program. Close that program and try again; no answer is lost",
    "SQLITE_READONLY": "is read-only. Answers need a writable file and folder: change their permissions",
    "SQLITE_CANTOPEN": "cannot be opened. Check that the file exists and is readable",
    "SQLITE_FULL": "cannot be written: the disk is full. Free some space and try again",
    "SQLITE_IOERR": "cannot be read or written: input/output error. Check the disk",
    "SQLITE_CORRUPT": "is damaged. Restore it from a backup",
    "SQLITE_NOTADB": "is not an SQLite file. Check the path",
}


SCHEMA = """
create table about (key text primary key, value text not null);
create table maps (id text primary key, image text not null, method text not null, file text not null);
create table trials (
    id integer primary key, kind text not null, image text not null, question text not null,
    original text not null, left_map text not null references maps, right_map text references maps
);
create table answers (
    trial integer not null references trials, person text not null, answer integer not null,
    seconds real not null, given text not null default current_timestamp, primary key (trial, person)
);
"""
"""Tables of a study."""


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
        return f"{path} {ERROR_TEXTS[code]}."
    if str(error).startswith("no such"):
        return f"{path} is not a study: {error}."
    return f"{path} cannot be used: {error}."
