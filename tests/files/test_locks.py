"""Two processes never write to one folder, and a killed one blocks nobody."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from camlucida._locks import LOCK, locked
from camlucida.errors import DataError

HOLD = """
import sys, pathlib
from camlucida._locks import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_another_process_is_named_and_a_killed_one_blocks_nobody(tmp_path: Path) -> None:
    process = holder(tmp_path)
    with process:
        with (
            pytest.raises(DataError, match=f"written to by process {process.pid} on {platform.node()}"),
            locked(tmp_path),
        ):
            pass
        (tmp_path / ".camlucida-9-9-aa.part").write_bytes(b"half")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / LOCK).exists()
        with locked(tmp_path):
            pass
    assert not list(tmp_path.iterdir())


def test_another_thread_is_refused_too(tmp_path: Path) -> None:
    said: list[str] = []

    def second() -> None:
        try:
            with locked(tmp_path):
                said.append("held")
        except DataError as error:
            said.append(str(error))

    with locked(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert "another part of this process" in said[0]
    with locked(tmp_path):
        pass


def test_many_in_turn_exclude_each_other(tmp_path: Path) -> None:
    inside, most, done = 0, 0, 0
    count = threading.Lock()

    def work() -> None:
        nonlocal inside, most, done
        for _ in range(200):
            try:
                with locked(tmp_path):
                    with count:
                        inside += 1
                        most = max(most, inside)
                    with count:
                        inside -= 1
                        done += 1
            except DataError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert done >= 4


def test_disks_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(tmp_path), pytest.raises(DataError, match="this process"), locked(tmp_path):
        pass
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (tmp_path / LOCK).write_text(f'{{"pid": {process.pid}, "host": "{platform.node()}"}}')
    with locked(tmp_path):
        pass
    (tmp_path / LOCK).write_text(f'{{"pid": {process.pid}, "host": "elsewhere"}}')
    with pytest.raises(DataError, match=f"process {process.pid} on elsewhere"), locked(tmp_path):
        pass
