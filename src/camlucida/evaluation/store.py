"""A run as a folder: run.json says what is measured, parts/part-00000.parquet hold a row a picture, method and number.

A part is there as a whole or not at all, and has its digest in digests/, so that a part that was damaged since is
measured again by a second run, which skips the whole ones.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camlucida._files import atomic_stream, atomic_write
from camlucida._locks import locked
from camlucida._optional import need
from camlucida.data.identity import DATA_CHANGED
from camlucida.errors import DataError

COLUMNS = {
    "index": "int64",
    "picture": "string",
    "label": "string",
    "predicted": "string",
    "target": "string",
    "correct": "bool",
    "confidence": "float64",
    "method": "string",
    "control": "bool",
    "layer": "string",
    "metric": "string",
    "preset": "string",
    "value": "float64",
    "valid": "bool",
    "curve": "list<float>",
    "forwards": "float64",
    "seconds": "float64",
    "error": "string",
}
"""What a row holds. `valid` is false where the map could not be judged; `error` says why there is no number at all."""

SIMILARITY_METRICS = ("rank correlation of maps", "difference of maps")
"""What stands in the column metric of rows that compare a method's map with that of the method in the column preset."""


PARTS_FOLDER = "parts"
"""The folder of the parts."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """The folder of one run.

    columns   what a row holds: names and kinds
    result    what the joined table is called
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=lambda: COLUMNS)
    result: str = "results.parquet"

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder while something is measured; `DataError` where another process does, which it names."""
        return locked(self.path)

    def begin(self, plan: Mapping[str, Any], source: Mapping[str, Any] | None = None) -> None:
        """Write what will be measured; `DataError` where another run lies there already, or a damaged one.

        source   how the model and the data were named, so that they can be opened again; decides nothing
        """
        if self._file.exists():
            stored = self._read()["plan"]
            differing = [key for key in plan if stored.get(key) != plan[key]]
            if differing:
                key = differing[0]
                why = f": {DATA_CHANGED}" if key == "data_hash" else ""
                raise DataError(
                    f"{self.path} holds another run: its {key} is {stored.get(key)!r}, not {plan[key]!r}{why}. "
                    "Choose another folder, or delete that one."
                )
            return
        if any((self.path / PARTS_FOLDER).glob("part-*.parquet")):
            raise DataError(
                f"{self.path} holds parts of a run, but no run.json that says of which. Choose another folder, or "
                "delete that one."
            )
        content = json.loads(json.dumps({"plan": plan, "source": dict(source or {})}))
        content["digest"] = _digest_of(content)
        atomic_write(self._file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    @property
    def plan(self) -> dict[str, Any]:
        """What was measured; `DataError` where there is no run."""
        plan: dict[str, Any] = self._read()["plan"]
        return plan

    @property
    def source(self) -> dict[str, Any]:
        """How the model and the data were named; empty where that was not said."""
        source: dict[str, Any] = self._read().get("source", {})
        return source

    @property
    def _file(self) -> Path:
        return self.path / "run.json"

    def _read(self) -> dict[str, Any]:
        """Return run.json; `DataError` where there is none, or it is not as it was written."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(f"{self.path} holds no run: it has no run.json.") from None
        except OSError as error:
            raise DataError(f"cannot read {self._file}: {error.strerror or error}.") from None
        except ValueError as error:  # no JSON, no UTF-8
            raise self._damaged(str(error)) from None
        if not isinstance(content, dict) or not isinstance(content.get("plan"), dict):
            raise self._damaged("it has no plan")
        if not isinstance(content.get("source", {}), dict):
            raise self._damaged("its source is none")
        if "digest" in content and content["digest"] != _digest_of(content):
            raise self._damaged("its digest is not that of its content")
        return content

    def _damaged(self, reason: str) -> DataError:
        return DataError(
            f"{self._file} is damaged, or no run of camlucida ({reason}). Delete {self.path} to begin again, or choose "
            "another folder."
        )

    def has(self, part: int) -> bool:
        """Whether a part is there, and just as it was written."""
        file = self._part_file(part)
        try:
            return _digest_file(file).read_text(encoding="ascii") == _digest_json(_digest(file.read_bytes()))
        except (OSError, UnicodeDecodeError):
            return False

    def write(self, part: int, rows: Sequence[Row]) -> None:
        """Write one part, whole or not at all."""
        write_table(self._part_file(part), rows, self.columns, digest=True)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Read the parts in their order, as Arrow tables. Raises `DataError` that names a damaged one."""
        for file in sorted((self.path / PARTS_FOLDER).glob("part-*.parquet")):
            yield read_table(file, columns)

    def finish(self) -> Path:
        """Join the parts into one table, one after the other."""
        _, parquet = _arrow()
        file = self.path / self.result
        with (
            atomic_stream(file) as stream,
            parquet.ParquetWriter(stream, schema(self.columns), compression="zstd", write_page_checksum=True) as writer,
        ):
            for table in self.tables():
                writer.write_table(table)
        return file

    def _part_file(self, part: int) -> Path:
        return self.path / PARTS_FOLDER / f"part-{part:05d}.parquet"


def write_table(file: Path, rows: Sequence[Row], columns: Mapping[str, str] = COLUMNS, *, digest: bool = False) -> None:
    """Write rows as Parquet, whole or not at all.

    Args:
        file: The file.
        rows: What it holds.
        columns: Their names and kinds.
        digest: Whether to write its digest, too. It is written first: after a crash in between it does not fit the
            table, which then counts as damaged.
    """
    arrow, parquet = _arrow()
    table = arrow.Table.from_pylist(list(rows), schema=schema(columns))
    sink = arrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd", write_page_checksum=True)
    content = sink.getvalue().to_pybytes()
    if digest:
        atomic_write(_digest_file(file), _digest_json(_digest(content)))
    atomic_write(file, content)


def read_table(file: Path, columns: Sequence[str] | None = None) -> Any:
    """Read a table of `write_table`, some of its columns. Raises `DataError` where it is damaged."""
    arrow, parquet = _arrow()
    try:
        content = file.read_bytes()
        digest_file = _digest_file(file)
        if digest_file.is_file() and digest_file.read_bytes() != _digest_json(_digest(content)).encode():
            raise ValueError("its digest is not that of its content")
        return parquet.read_table(
            io.BytesIO(content),
            columns=None if columns is None else list(columns),
            page_checksum_verification=True,
        )
    except (OSError, ValueError, KeyError, arrow.ArrowException) as error:
        raise DataError(
            f"{file} is damaged ({' '.join(str(error).split())[:120]}). Run the same command again: what is damaged is "
            "measured again."
        ) from None


def schema(columns: Mapping[str, str] = COLUMNS) -> Any:
    """Of the rows, as Arrow has it."""
    arrow, _ = _arrow()
    kinds = {
        "int64": arrow.int64(),
        "string": arrow.string(),
        "bool": arrow.bool_(),
        "float64": arrow.float64(),
        "list<float>": arrow.list_(arrow.float32()),
    }
    return arrow.schema([(name, kinds[kind]) for name, kind in columns.items()])


def _arrow() -> tuple[Any, Any]:
    purpose = "writing and reading results"
    return need("pyarrow", extra="analysis", what=purpose), need("pyarrow.parquet", extra="analysis", what=purpose)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _digest_json(digest: str) -> str:
    """Return a digest as JSON."""
    return json.dumps({"blake2b": digest}) + "\n"


def _digest_file(file: Path) -> Path:
    """Return where the digest of a table lies: in digests/ of the run's folder."""
    folder = file.parent.parent if file.parent.name == PARTS_FOLDER else file.parent
    return folder / "digests" / f"{file.stem}.json"


def _digest_of(content: Mapping[str, Any]) -> str:
    """Return the digest of a run's plan and source, as JSON gives them back."""
    known = {key: content.get(key) for key in ("plan", "source")}
    return _digest(json.dumps(known, sort_keys=True, ensure_ascii=True).encode())
