"""The folder of a run: run.json describes it, parts/part-00000.parquet etc. hold one row per image, method and number.

A part is written atomically, and its digest is stored in digests/. Another run with the same plan skips intact parts
and measures damaged ones again.
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

from camlucida._differences import differences
from camlucida._files import atomic_stream, atomic_write
from camlucida._locks import locked
from camlucida._optional import need
from camlucida.data.identity import DATA_CHANGED
from camlucida.errors import DataError

COLUMNS = {
    "index": "int64",
    "image": "string",
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
"""Columns of a row. `valid` is false if the map could not be scored; `error` is the reason for a missing value."""

WHOLE_IMAGE_TARGETS = ("predicted", "true")
"""Targets that are one class of the whole image, and need no further columns."""

TARGET_COLUMNS = {
    **COLUMNS,
    "target_number": "int64",
    "target_spec": "string",
    "match": "string",
    "region": "string",
    "region_box": "list<float>",
}
"""Columns of a run with another target, in which an image may have several. A row belongs to the target with the number
`target_number` of its image, counted from 0; `target` is its label and `target_spec` what `explain` takes for it.
`match` is "matched" if an annotation agrees with the target and "not matched" if none does; `region` says which region
of the image the metrics use, and `region_box` is the box around it: left, top, right, bottom in pixels.
"""

TARGET_POSITION = "position of the target"
"""What a control knows whose map is read at the box or region of a target."""

SIMILARITY_METRICS = ("rank correlation of maps", "difference of maps")
"""Values of `metric` in rows that compare the map of `method` with that of the method named in `preset`."""

PARTS_FOLDER = "parts"
"""Name of the folder of the parts."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """The folder of one run.

    Attributes:
        path: The folder.
        columns: Names and types of the columns.
        result: File name of the joined table.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=lambda: COLUMNS)
    result: str = "results.parquet"

    def lock(self) -> AbstractContextManager[None]:
        """Lock the folder during a measurement.

        Raises:
            DataError: If another process holds the lock; the message names it.
        """
        return locked(self.path)

    def begin(self, plan: Mapping[str, Any], source: Mapping[str, Any] | None = None) -> None:
        """Write what will be measured.

        Args:
            plan: The record of the run.
            source: How the model and the data were specified, so that they can be loaded again; does not affect
                results.

        Raises:
            DataError: If the folder holds another run, or a damaged one.
        """
        if self._file.exists():
            stored = self._read()["plan"]
            if difference := differences(stored, plan):
                why = f": {DATA_CHANGED}" if stored.get("data_hash") != plan.get("data_hash") else ""
                raise DataError(
                    f"{self.path} holds another run: {difference}{why}. Choose another folder, or delete this one."
                )
            return
        if any((self.path / PARTS_FOLDER).glob("part-*.parquet")):
            raise DataError(
                f"{self.path} holds parts of a run, but no run.json. Choose another folder, or delete this one."
            )
        content = json.loads(json.dumps({"plan": plan, "source": dict(source or {})}))
        content["digest"] = _digest_of(content)
        atomic_write(self._file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    @property
    def plan(self) -> dict[str, Any]:
        """What was measured.

        Raises:
            DataError: If the folder contains no run.
        """
        plan: dict[str, Any] = self._read()["plan"]
        return plan

    @property
    def batch_size(self) -> int | None:
        """The number of images whose maps are computed together, as stored; None if nothing was measured yet."""
        return self.plan.get("batch_size", 1) if self._file.exists() else None

    @property
    def source(self) -> dict[str, Any]:
        """How the model and the data were specified; empty if unknown."""
        source: dict[str, Any] = self._read().get("source", {})
        return source

    @property
    def _file(self) -> Path:
        return self.path / "run.json"

    def _read(self) -> dict[str, Any]:
        """Return the content of run.json.

        Raises:
            DataError: If the file is missing or damaged.
        """
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(f"{self.path} contains no run: there is no run.json.") from None
        except OSError as error:
            raise DataError(f"cannot read {self._file}: {error.strerror or error}.") from None
        except ValueError as error:  # neither JSON nor UTF-8
            raise self._damaged(str(error)) from None
        if not isinstance(content, dict) or not isinstance(content.get("plan"), dict):
            raise self._damaged("it has no plan")
        if not isinstance(content.get("source", {}), dict):
            raise self._damaged("its source is not an object")
        if "digest" in content and content["digest"] != _digest_of(content):
            raise self._damaged("its digest does not match its content")
        return content

    def _damaged(self, reason: str) -> DataError:
        return DataError(
            f"{self._file} is damaged, or not a run of camlucida ({reason}). Delete {self.path} to start again, or "
            "choose another folder."
        )

    def has(self, part: int) -> bool:
        """Return whether a part exists and matches its digest."""
        file = self._part_file(part)
        try:
            return _digest_file(file).read_text(encoding="ascii") == _digest_json(_digest(file.read_bytes()))
        except (OSError, UnicodeDecodeError):
            return False

    def write(self, part: int, rows: Sequence[Row]) -> None:
        """Write one part atomically."""
        write_table(self._part_file(part), rows, self.columns, digest=True)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield the parts in order, as Arrow tables.

        Raises:
            DataError: If a part is damaged; the message names it.
        """
        for file in sorted((self.path / PARTS_FOLDER).glob("part-*.parquet")):
            yield read_table(file, columns)

    def finish(self) -> Path:
        """Join the parts into one table and return its path."""
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


def has_target_columns(plan: Mapping[str, Any]) -> bool:
    """Return whether the rows of a run have `TARGET_COLUMNS`: its target is not the predicted or true class."""
    return plan.get("target", WHOLE_IMAGE_TARGETS[0]) not in WHOLE_IMAGE_TARGETS


def write_table(file: Path, rows: Sequence[Row], columns: Mapping[str, str] = COLUMNS, *, digest: bool = False) -> None:
    """Write rows as a Parquet file atomically.

    Args:
        file: Path of the file.
        rows: The rows.
        columns: Names and types of the columns.
        digest: Whether to write a digest as well. It is written first: after a crash in between it does not match the
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
    """Read a table written by `write_table`.

    Args:
        file: Path of the file.
        columns: Names of the columns to read; None for all.

    Raises:
        DataError: If the file is damaged.
    """
    arrow, parquet = _arrow()
    try:
        content = file.read_bytes()
        digest_file = _digest_file(file)
        if digest_file.is_file() and digest_file.read_bytes() != _digest_json(_digest(content)).encode():
            raise ValueError("its digest does not match its content")
        # Without Arrow's threads: a process that ends while they start is aborted with exit code 134.
        opened = parquet.ParquetFile(io.BytesIO(content), page_checksum_verification=True, pre_buffer=False)
        if missing := set(columns or ()) - set(opened.schema_arrow.names):
            raise ValueError(f"it has no column {min(missing)}")
        return opened.read(columns=None if columns is None else list(columns), use_threads=False)
    except (OSError, ValueError, KeyError, arrow.ArrowException) as error:
        raise DataError(
            f"{file} is damaged ({' '.join(str(error).split())[:120]}). Run the same command again: damaged "
            "parts are measured again."
        ) from None


def schema(columns: Mapping[str, str] = COLUMNS) -> Any:
    """Return the Arrow schema of the columns."""
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
    """Return the path of a table's digest: in digests/ of the run's folder."""
    folder = file.parent.parent if file.parent.name == PARTS_FOLDER else file.parent
    return folder / "digests" / f"{file.stem}.json"


def _digest_of(content: Mapping[str, Any]) -> str:
    """Return the digest of a run's plan and source."""
    known = {key: content.get(key) for key in ("plan", "source")}
    return _digest(json.dumps(known, sort_keys=True, ensure_ascii=True).encode())
