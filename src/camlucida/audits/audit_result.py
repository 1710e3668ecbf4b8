"""The result of an audit: its rows, maps and features, read from the folder when they are needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida._files import atomic_write
from camlucida.audits.json_values import json_values
from camlucida.audits.plan import CHANNELS, EXPLAINED_CLASSES, FEATURES, ExplainedClass
from camlucida.audits.query import select
from camlucida.audits.store import AuditStore
from camlucida.data.datasets import Dataset
from camlucida.errors import DataError
from camlucida.evaluation.provenance import mismatch
from camlucida.models.model import Model

FINDINGS_FOLDER = "findings"
"""Name of the folder of what was derived from the rows and maps."""


@dataclass(frozen=True, eq=False)
class Audit:
    """The folder of an audit, and the model and the data if they are available.

    Attributes:
        path: The folder.
        model: The audited model; None if the folder was opened without it.
        data: The audited data set; None likewise.
    """

    path: Path
    model: Model | None = None
    data: Dataset | None = None

    def __post_init__(self) -> None:
        """Accept the folder as a string, too."""
        object.__setattr__(self, "path", Path(self.path).expanduser())

    @cached_property
    def store(self) -> AuditStore:
        """The files of the audit.

        Raises:
            DataError: If the folder contains no audit.
        """
        return AuditStore.open(self.path)

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What was audited, and how: plan.json."""
        return self.store.plan

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The numbers of run.json.

        Raises:
            DataError: If the audit is not complete.
        """
        if not self.store.is_complete:
            raise DataError(f"{self.path} is not complete. Run the same `camlucida audit` command again: it resumes.")
        summary: dict[str, Any] = self.store.summary
        return summary

    @cached_property
    def table(self) -> Any:
        """The rows as an Arrow table in the order of the data set: one per image, or per target of an image."""
        return self.store.table()

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    def error_rows(self) -> list[dict[str, Any]]:
        """Return index, image and error of the images that could not be read or explained, or of whose targets one."""
        table = self.table.select(["index", "image", "error"])
        rows: list[dict[str, Any]] = table.filter(table["error"].is_valid()).to_pylist()
        return rows

    def column(self, name: str) -> NDArray[Any]:
        """Return a column as an array `(n,)`: NaN for missing numbers, None for missing texts and truth values.

        Raises:
            DataError: If there is no such column.
        """
        if name not in self.table.column_names:
            raise DataError(f"{self.path} has no column {name!r}: it has {', '.join(self.table.column_names)}.")
        column = self.table[name]
        if str(column.type) in ("string", "bool"):
            return np.array(column.to_pylist(), dtype=object)
        return np.array([np.nan if value is None else value for value in column.to_pylist()], dtype=np.float64)

    def query(self, expression: str) -> NDArray[np.int64]:
        """Return the positions in `rows` of the images that fulfil an expression.

        Args:
            expression: Columns, numbers and texts with comparisons, `in`, `is none`, and, or, not, + - * /, as in
                "wrong and confidence > .9 and energy_in_box < .2"; see `camlucida.audits.query.select`.

        Raises:
            DataError: If the expression is invalid, or names a column that does not exist.
        """
        return np.flatnonzero(select(self.table, expression)).astype(np.int64)

    def map_of(
        self, row: int, method: str | None = None, explained: ExplainedClass = "predicted"
    ) -> NDArray[np.float16]:
        """Return the map `(h, w)` of one image, divided by its largest magnitude, without reading those of the others.

        Args:
            row: Position in `rows`.
            method: Name of a method of the audit; None for the first one.
            explained: The predicted, the competing or the true class.
        """
        number, position = self.part_of(row)
        name = self.store.method_names[0] if method is None else self.store.method_name(method)
        values: NDArray[np.float16] = self.store.array(number, name)[position, EXPLAINED_CLASSES.index(explained)]
        return values

    def part_of(self, row: int) -> tuple[int, int]:
        """Return the number of the part that holds a row, and its position in it."""
        if not self.has_targets:
            return divmod(int(row), int(self.plan["chunk_images"]))
        part = int(np.searchsorted(self._part_ends, int(row), side="right"))
        before = int(self._part_ends[part - 1]) if part else 0
        return self.store.part_numbers()[part], int(row) - before

    @cached_property
    def _part_ends(self) -> NDArray[np.int64]:
        """Number of rows up to the end of each stored part; a part has several rows for each image."""
        lengths = [self.store.table_of(number, ["index"]).num_rows for number in self.store.part_numbers()]
        return np.cumsum(np.array(lengths, dtype=np.int64))

    @property
    def has_targets(self) -> bool:
        """Whether its rows are the targets of the images: boxes, regions or words, several for each image."""
        return self.store.has_targets

    def images(self) -> NDArray[np.int64] | None:
        """Return a number of the image of each row `(n,)` where several rows may share one; None where none do.

        Rows of one image are not independent: tests and intervals resample images then.
        """
        if not self.has_targets:
            return None
        groups: NDArray[np.int64] = np.unique(self.column("index"), return_inverse=True)[1].astype(np.int64)
        return groups

    def maps(self, method: str | None = None, explained: ExplainedClass = "predicted") -> NDArray[np.float16]:
        """Return the maps `(n, h, w)` of one class of every image, each divided by its largest magnitude.

        Args:
            method: Name of a method of the audit; None for the first one.
            explained: The predicted, the competing or the true class.
        """
        name = self.store.method_names[0] if method is None else self.store.method_name(method)
        return self._array(name)[:, EXPLAINED_CLASSES.index(explained)]

    def channel_relevance(self, explained: ExplainedClass = "predicted") -> NDArray[np.float16]:
        """Return the relevance `(n, c)` of each channel of the layer, divided by its largest magnitude."""
        return self._array(CHANNELS)[:, EXPLAINED_CLASSES.index(explained)]

    def features(self) -> NDArray[np.float16]:
        """Return the mean activation `(n, c)` of each channel of the layer."""
        return self._array(FEATURES)

    def mismatch(self) -> str:
        """Return how the model or the data differ from those of the audit; empty if they do not."""
        return mismatch(self.plan, self.model, self.data)

    def require_model_and_data(self, purpose: str) -> tuple[Model, Dataset]:
        """Return the model and the data.

        Args:
            purpose: What they are needed for, for the error message.

        Raises:
            DataError: If one of them is not available, or is not the audited one.
        """
        if self.model is None or self.data is None:
            raise DataError(f"{purpose} needs the model and the data of {self.path}, which are not available.")
        if difference := self.mismatch():
            raise DataError(f"{self.path} is an audit of another model or other data: {difference}.")
        return self.model, self.data

    def write_finding(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write what was derived from the audit as findings/NAME.json, and return its path.

        Numbers that are not finite become null, and numbers of NumPy those of JSON.
        """
        file = self.path / FINDINGS_FOLDER / f"{name}.json"
        atomic_write(file, json.dumps(json_values(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return file

    def finding(self, name: str) -> dict[str, Any] | None:
        """Return the content of findings/NAME.json, or None if it was not written.

        Raises:
            DataError: If the file is damaged.
        """
        file = self.path / FINDINGS_FOLDER / f"{name}.json"
        if not file.is_file():
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{file} is damaged ({error}). Delete it and run `camlucida audit` again.") from None
        if not isinstance(content, dict):
            raise DataError(f"{file} is damaged (it is not an object). Delete it and run `camlucida audit` again.")
        return content

    def _array(self, name: str) -> NDArray[np.float16]:
        """Return one array of all chunks; a chunk of broken images only has no shape and is filled with NaN.

        If all images are broken, the shape is that of maps of one value, or of one channel.
        """
        chunks = list(self.store.arrays(name))
        empty = {FEATURES: (1,), CHANNELS: (len(EXPLAINED_CLASSES), 1)}.get(name, (len(EXPLAINED_CLASSES), 1, 1))
        shape = next((chunk.shape[1:] for chunk in chunks if chunk.size), empty)
        full = [chunk if chunk.size else np.full((len(chunk), *shape), np.nan, dtype=np.float16) for chunk in chunks]
        return np.concatenate(full) if full else np.zeros((0, *shape), dtype=np.float16)
