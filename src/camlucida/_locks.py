"""Allow only one process to write to a folder at a time."""

from __future__ import annotations

import errno
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from camlucida._files import make_folder, remove_leftovers, writing
from camlucida.errors import DataError

LOCK = ".camlucida.lock"
"""Name of the lock file, which exists in a folder while it is written to."""

_NOT_SUPPORTED = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while the block runs.

    The lock belongs to the open file, so that the system releases it when the process ends, even if it is killed. Where
    the system or the disk has no such locks, the existence of the file is the lock, and a file left by a process of
    this machine that no longer runs is taken over.

    Args:
        folder: Created if it is missing. Unfinished files of killed processes in it are deleted.

    Raises:
        DataError: Another process or thread holds the lock; the message names it.
        OutputError: The folder cannot be written to.
    """
    make_folder(folder)
    file = folder / LOCK
    with writing(file):
        descriptor = _acquired(file)
    try:
        with writing(file):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())
        remove_leftovers(folder)
        yield
    finally:
        with suppress(OSError):  # before the lock is released, so that no other holder's file is deleted
            file.unlink()
        os.close(descriptor)


def _acquired(file: Path) -> int:
    """Return the descriptor of the open file whose lock is now held."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(descriptor, file):
                raise _held(file)
            if _is_same(descriptor, file):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the holder deleted the file after it was opened here and before it was locked


def _lock(descriptor: int, file: Path) -> bool:
    """Acquire the lock of an open file without waiting; return whether that succeeded."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        import fcntl
    except ImportError:
        return _take_over(file)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NOT_SUPPORTED:
            return _take_over(file)
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _take_over(file: Path) -> bool:
    """Return whether the file names no holder, or only a process of this machine that no longer runs."""
    pid, host = _holder(file)
    if pid is None:
        return True
    if host != platform.node():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _is_same(descriptor: int, file: Path) -> bool:
    try:
        named = file.stat()
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)


def _holder(file: Path) -> tuple[int | None, str]:
    """Return the process and the machine named in the file; None where it names none."""
    try:
        holder = json.loads(file.read_text(encoding="utf-8"))
        return int(holder["pid"]), str(holder["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, ""


def _held(file: Path) -> DataError:
    pid, host = _holder(file)
    who = "another process" if pid is None else f"process {pid} on {host}"
    if pid == os.getpid() and host == platform.node():
        who = f"another part of this process ({pid} on {host})"
    return DataError(
        f"{file.parent} is being written to by {who}. Wait until it has finished, stop it, or choose another folder."
    )
