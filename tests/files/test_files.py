"""Files are written whole or not at all, and only by one module."""

from __future__ import annotations

import ast
import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import camlucida
from camlucida import _files
from camlucida._files import atomic_path, atomic_stream, atomic_write, make_folder, remove_leftovers, write_image
from camlucida.errors import ImageError, OutputError

SOURCES = sorted(Path(camlucida.__file__).parent.rglob("*.py"))
WRITES = {"write_text", "write_bytes", "write_table", "savez", "savez_compressed", "to_csv", "dump", "rename", "touch"}
ELSEWHERE = {
    ("evaluation/store.py", "write_table"): "into memory, or an atomic stream",
    ("training/run_folder.py", "write_table"): "our own, through atomic_write",
    ("training/run.py", "write_table"): "our own, through atomic_write",
    ("analysis/embeddings.py", "write_table"): "our own, through atomic_write",
    ("features/concept_result.py", "savez_compressed"): "to an atomic stream",
    ("attribution/explanation_record.py", "savez_compressed"): "into memory",
}
"""Calls that are named like writing and do not write past the helper."""


def test_one_module_writes_files() -> None:
    wrong = []
    for file in SOURCES:
        place = file.relative_to(Path(camlucida.__file__).parent).as_posix()
        if place in ("_files.py", "_locks.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                modes = [*node.args, *(key.value for key in node.keywords if key.arg == "mode")]
                opens = name in ("open", "fdopen") and any(
                    isinstance(arg, ast.Constant) and isinstance(arg.value, str) and set(arg.value) & set("wax+")
                    and set(arg.value) <= set("rwaxbt+") for arg in modes
                )  # fmt: skip
                replaces = ast.unparse(node.func) in ("os.replace", "os.rename", "shutil.move", "shutil.copy")
                if opens or replaces or (name in WRITES and (place, name) not in ELSEWHERE):
                    wrong.append(f"{place}:{node.lineno} {ast.unparse(node)[:60]}")
    assert not wrong


def test_the_disk_is_flushed_before_and_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    flush, replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        flush(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    atomic_write(tmp_path / "a", b"1")
    with atomic_path(tmp_path / "b") as path:
        path.write_bytes(b"2")
    write_image(lambda: Image.new("RGB", (2, 2)), tmp_path / "c.png")
    assert events == ["file", "rename", "folder"] * 3
    events.clear()
    make_folder(tmp_path / "new" / "inner")
    assert events == ["folder", "folder"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_what_fails_leaves_the_old_file_and_nothing_else(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    atomic_write(file, "old")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step != "write":
        monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)

    def write() -> None:
        with atomic_stream(file) as stream:
            stream.write(b"half")
            if step == "write":
                fail()

    with pytest.raises(OutputError, match=r"^cannot write .*/file: No space left on device\. Make room"):
        write()
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_whatever_stops_it_leaves_nothing(kind: type[BaseException], tmp_path: Path) -> None:
    def stream() -> None:
        with atomic_stream(tmp_path / "file") as stream:
            stream.write(b"half")
            raise kind

    def named() -> None:
        with atomic_path(tmp_path / "file") as path:
            path.write_bytes(b"half")
            raise kind

    for write in (stream, named):
        with pytest.raises(kind):
            write()
    assert not list(tmp_path.iterdir())


def test_threads_never_share_a_temporary_file(tmp_path: Path) -> None:
    ready = threading.Barrier(8)
    names: list[str] = []

    def write(number: int) -> None:
        with atomic_stream(tmp_path / "file") as stream:
            ready.wait()  # all eight are open at once
            names.append(stream.name)
            stream.write(bytes([number]) * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (tmp_path / "file").read_bytes()
    assert len(set(names)) == 8
    assert all(str(os.getpid()) in name for name in names)
    assert content == content[:1] * 1000
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_links_and_modes_stay(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    target.chmod(0o640)
    (tmp_path / "link").symlink_to(target)
    atomic_write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    atomic_write(Path(os.devnull), "nothing")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Make room"),
        (errno.EDQUOT, "Make room"),
        (errno.EROFS, "change its permissions"),
        (errno.EACCES, "change its permissions"),
    ],
)
def test_a_refusal_says_what_to_do(number: int, advice: str) -> None:
    with pytest.raises(OutputError, match=advice) as raised, _files.writing(Path("there")):
        raise OSError(number, os.strerror(number))
    assert str(raised.value).startswith(f"cannot write there: {os.strerror(number)}. ")
    assert isinstance(raised.value, ImageError)


def test_leftovers_of_killed_processes_go(tmp_path: Path) -> None:
    (tmp_path / ".camlucida-1-2-ab.part").write_bytes(b"half")
    (tmp_path / "mine.part").write_bytes(b"whole")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.part"]
