"""The folder of an audit: plan.json, parts/ with the rows and arrays of each chunk, and run.json once it is complete.

A chunk is written exactly once. Its arrays are written first and its table last, each under another name and renamed,
so that a chunk whose table exists is complete; digests tell damaged chunks, which are measured again.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from camlucida._differences import differences
from camlucida._files import atomic_write
from camlucida._locks import locked
from camlucida._optional import need
from camlucida.audits.chunk_arrays import Chunk
from camlucida.audits.rows import columns_of
from camlucida.data.identity import DATA_CHANGED
from camlucida.errors import DataError, nearest
from camlucida.evaluation.store import PARTS_FOLDER, Store, read_table

RESULT = "images.parquet"
"""Name of the joined table, one row per image."""


@dataclass(frozen=True)
class AuditStore:
    """The folder of one audit.

    Attributes:
        path: The folder.
        method_names: Names of the methods, in the order of the plan.
        array_names: Names of the arrays of every chunk.
        has_targets: Whether its rows are the targets of the images: boxes, regions or words.
    """

    path: Path
    method_names: tuple[str, ...]
    array_names: tuple[str, ...]
    has_targets: bool = False

    @classmethod
    def open(cls, path: Path) -> AuditStore:
        """Open the folder of an audit that was begun.

        Raises:
            DataError: If the folder holds no audit, or its plan.json is damaged.
        """
        plan = _read_plan(path)["plan"]
        try:
            names = tuple(method["name"] for method in plan["methods"])
            return cls(path, names, tuple(plan["arrays"]), plan.get("target") is not None)
        except (KeyError, TypeError):
            raise _damaged(path / "plan.json", path, "it has no list of methods") from None

    def begin(self, record: Mapping[str, Any], source: Mapping[str, Any] | None = None) -> None:
        """Write the plan, or check that the folder was begun with the same one.

        Args:
            record: The record of the plan.
            source: How the model and the data were specified, so that they can be loaded again; does not affect
                results.

        Raises:
            DataError: If the folder holds another audit, or a damaged one.
        """
        file = self.path / "plan.json"
        if not file.exists():
            if any((self.path / PARTS_FOLDER).glob("part-*")):
                raise DataError(
                    f"{self.path} holds parts of an audit, but no plan.json. Choose another folder, or delete this one."
                )
            content = {"plan": record, "source": dict(source or {})}
            atomic_write(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
            return
        stored = self.plan
        if difference := differences(stored, json.loads(json.dumps(record))):
            why = f": {DATA_CHANGED}" if stored.get("data_hash") != record.get("data_hash") else ""
            raise DataError(
                f"{self.path} holds another audit: {difference}{why}. Choose another folder, or delete this one."
            )

    @property
    def plan(self) -> dict[str, Any]:
        """The record of the plan."""
        plan: dict[str, Any] = _read_plan(self.path)["plan"]
        return plan

    @property
    def batch_size(self) -> int | None:
        """The batch size with which the audit was begun; None if it was not."""
        size = self.plan.get("batch_size") if (self.path / "plan.json").exists() else None
        return size if isinstance(size, int) and size > 0 else None

    @property
    def source(self) -> dict[str, Any]:
        """How the model and the data were specified; empty if unknown."""
        source: dict[str, Any] = _read_plan(self.path)["source"]
        return source

    @property
    def is_complete(self) -> bool:
        """Whether every chunk was measured."""
        return (self.path / "run.json").is_file()

    def lock(self, shard: int) -> AbstractContextManager[None]:
        """Lock a shard, so that two processes never measure the same chunks.

        Raises:
            DataError: If another process holds the lock; the message names it.
        """
        return locked(self.path / "shards" / f"{shard:04d}")

    def has(self, number: int) -> bool:
        """Return whether a chunk is complete and intact."""
        return self._rows.has(number) and all(
            _digest_of(self.array_file(number, name)) == digest for name, digest in self._digests(number).items()
        )

    def write(self, number: int, chunk: Chunk) -> None:
        """Write a chunk: its arrays, their digests, and last its rows."""
        digests = {}
        for name, values in chunk.arrays.items():
            stream = io.BytesIO()
            np.save(stream, values)
            content = stream.getvalue()
            digests[name] = _digest(content)
            atomic_write(self.array_file(number, name), content)
        atomic_write(self._digest_file(number), json.dumps(digests) + "\n")
        self._rows.write(number, chunk.rows)

    def n_errors(self, number: int) -> int:
        """Return the number of images of a stored chunk that could not be read or explained.

        Raises:
            DataError: If the chunk is damaged.
        """
        error = read_table(self.part_file(number), ["error"])["error"]
        return len(error) - int(error.null_count)

    def table_of(self, number: int, columns: Sequence[str] | None = None) -> Any:
        """Return the rows of one chunk as an Arrow table.

        Raises:
            DataError: If the chunk is damaged.
        """
        return read_table(self.part_file(number), columns)

    def part_numbers(self) -> list[int]:
        """Return the numbers of the chunks whose rows are stored."""
        names = (file.stem.removeprefix("part-") for file in (self.path / PARTS_FOLDER).glob("part-*.parquet"))
        return sorted(int(name) for name in names if name.isdigit())

    def part_file(self, number: int) -> Path:
        """Return the file of the rows of a chunk, which exists once the chunk is complete."""
        return self.path / PARTS_FOLDER / f"part-{number:05d}.parquet"

    def array_file(self, number: int, name: str) -> Path:
        """Return the file of one array of a chunk."""
        return self.path / PARTS_FOLDER / f"part-{number:05d}.{array_file_name(name)}.npy"

    def finish(self, summary: Mapping[str, Any]) -> Path:
        """Join the tables of all chunks, write run.json last, and return the joined table's path."""
        joined = self._rows.finish()
        content = {"plan": self.plan, "summary": dict(summary)}
        atomic_write(self.path / "run.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return joined

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers of run.json.

        Raises:
            DataError: If the audit is not complete.
        """
        summary: dict[str, Any] = _read_json(self.path / "run.json", self.path).get("summary", {})
        return summary

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """Return the rows of all chunks as an Arrow table.

        Raises:
            DataError: If no chunk is stored yet, or one is damaged.
        """
        arrow = need("pyarrow", extra="analysis", what="reading an audit")
        tables = list(self._rows.tables(columns))
        if not tables:
            raise DataError(f"{self.path} has no rows yet. Run the same `camlucida audit` command again: it resumes.")
        return arrow.concat_tables(tables)

    def arrays(self, name: str) -> Iterator[NDArray[np.float16]]:
        """Yield an array chunk by chunk, in the order of the rows.

        Raises:
            DataError: If there is no array of this name.
        """
        if name not in self.array_names:
            raise DataError(f"{self.path} has no array {name!r}: it has {', '.join(self.array_names)}.")
        for file in sorted((self.path / PARTS_FOLDER).glob(f"part-*.{glob.escape(array_file_name(name))}.npy")):
            yield np.load(file, allow_pickle=False)

    def array(self, number: int, name: str) -> NDArray[np.float16]:
        """Return an array of one chunk, mapped into memory, so that only what is used is read.

        Raises:
            DataError: If the file is missing or damaged.
        """
        file = self.array_file(number, name)
        try:
            values: NDArray[np.float16] = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{file} is damaged ({error}). Run the same `camlucida audit` command again.") from None
        return values

    def method_name(self, name: str) -> str:
        """Return the name of a method of the audit as the plan spells it: "grad_cam@layer3" is found as well.

        Raises:
            DataError: If the audit has no such method.
        """
        spelled = {array_file_name(known): known for known in self.method_names}
        if array_file_name(name) not in spelled:
            raise DataError(
                f"{self.path} has no method {name!r}.{nearest(name, self.method_names)} It has "
                f"{', '.join(self.method_names)}."
            )
        return spelled[array_file_name(name)]

    @property
    def _rows(self) -> Store:
        return Store(self.path, columns_of(self.method_names, has_targets=self.has_targets), RESULT)

    def _digest_file(self, number: int) -> Path:
        return self.path / "digests" / f"part-{number:05d}.arrays.json"

    def _digests(self, number: int) -> dict[str, str]:
        try:
            content = json.loads(self._digest_file(number).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"": "missing"}
        return content if isinstance(content, dict) else {"": "damaged"}


def array_file_name(name: str) -> str:
    """Return the part of a file name that stands for an array: grad_cam@layer3 for "grad_cam @ layer3".

    Characters that a file name must not contain, as in the layers of some networks, are percent-encoded.
    """
    return quote(name.replace(" ", ""), safe="@(),=+")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _digest_of(file: Path) -> str | None:
    try:
        return _digest(file.read_bytes())
    except OSError:
        return None


def _read_plan(folder: Path) -> dict[str, Any]:
    file = folder / "plan.json"
    content = _read_json(file, folder)
    if not isinstance(content.get("plan"), dict) or not isinstance(content.get("source"), dict):
        raise _damaged(file, folder, "it has no plan")
    return content


def _read_json(file: Path, folder: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{folder} contains no audit: there is no {file.name}.") from None
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}.") from None
    except ValueError as error:
        raise _damaged(file, folder, str(error)) from None
    if not isinstance(content, dict):
        raise _damaged(file, folder, "it is not an object")
    return content


def _damaged(file: Path, folder: Path, reason: str) -> DataError:
    return DataError(f"{file} is damaged ({reason}). Delete {folder} to start again, or choose another folder.")
