"""A run as a folder: run.json says what is measured, parts/part-00000.parquet hold a row a picture, method and number.

Parts are written beside and renamed, so that a part is whole or not there; a second run skips those that are there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camlucida.errors import DataError
from camlucida.extras import need

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

LIKENESS = ("rank correlation of maps", "difference of maps")
"""What stands in the column metric of rows that compare a method's map with that of the method in the column preset."""

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

    def begin(self, plan: Mapping[str, Any], source: Mapping[str, Any] | None = None) -> None:
        """Write what will be measured; `DataError` where another run lies there already.

        source   how the model and the data were named, so that they can be opened again; decides nothing
        """
        file = self.path / "run.json"
        if file.exists():
            found = json.loads(file.read_text(encoding="utf-8"))["plan"]
            differing = [key for key in plan if found.get(key) != plan[key]]
            if differing:
                key = differing[0]
                raise DataError(
                    f"{self.path} holds another run: its {key} is {found.get(key)!r}, not {plan[key]!r}. "
                    "Choose another folder, or delete that one."
                )
            return
        self.path.mkdir(parents=True, exist_ok=True)
        content = {"plan": plan, "source": dict(source or {})}
        _write(file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    @property
    def plan(self) -> dict[str, Any]:
        """What was measured; `DataError` where there is no run."""
        found: dict[str, Any] = self._read()["plan"]
        return found

    @property
    def source(self) -> dict[str, Any]:
        """How the model and the data were named; empty where that was not said."""
        found: dict[str, Any] = self._read().get("source", {})
        return found

    def _read(self) -> dict[str, Any]:
        file = self.path / "run.json"
        if not file.exists():
            raise DataError(f"{self.path} holds no run: it has no run.json.")
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def has(self, part: int) -> bool:
        return self._part(part).exists()

    def write(self, part: int, rows: Sequence[Row]) -> None:
        """Write one part, whole or not at all."""
        file = self._part(part)
        file.parent.mkdir(exist_ok=True)
        write_table(file, rows, self.columns)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """The parts in their order, as Arrow tables."""
        _, parquet = _arrow()
        for file in sorted((self.path / "parts").glob("part-*.parquet")):
            yield parquet.read_table(file, columns=None if columns is None else list(columns))

    def finish(self) -> Path:
        """Join the parts into one table, one after the other."""
        _, parquet = _arrow()
        file, beside = self.path / self.result, self.path / f"{self.result}.part"
        with parquet.ParquetWriter(beside, schema(self.columns), compression="zstd") as writer:
            for table in self.tables():
                writer.write_table(table)
        os.replace(beside, file)
        return file

    def _part(self, part: int) -> Path:
        return self.path / "parts" / f"part-{part:05d}.parquet"


def write_table(file: Path, rows: Sequence[Row], columns: Mapping[str, str] = COLUMNS) -> None:
    """Write rows as Parquet, whole or not at all."""
    arrow, parquet = _arrow()
    made = arrow.Table.from_pylist(list(rows), schema=schema(columns))
    sink = arrow.BufferOutputStream()
    parquet.write_table(made, sink, compression="zstd")
    _write(file, sink.getvalue().to_pybytes())


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
    what = "writing and reading results"
    return need("pyarrow", extra="analysis", what=what), need("pyarrow.parquet", extra="analysis", what=what)


def _write(file: Path, content: bytes) -> None:
    beside = file.with_name(file.name + ".part")
    beside.write_bytes(content)
    os.replace(beside, file)
