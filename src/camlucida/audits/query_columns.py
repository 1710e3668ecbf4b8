"""The columns of an audit as values of a query: numbers, texts and truth values, each with what is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.errors import DataError, nearest
from camlucida.options import shown

METADATA = "metadata"
"""Column with the further columns of the data set's table, as in metadata.scanner."""

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column of numbers `(n,)`, or one number; NaN is missing."""

    values: NDArray[np.float64]
    name: str = ""

    @property
    def missing(self) -> Mask:
        """Which values are missing."""
        mask: Mask = np.isnan(self.values)
        return mask


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of texts as an Arrow array, or one text."""

    values: Any
    name: str = ""

    @property
    def missing(self) -> Mask:
        """Which values are missing."""
        return as_mask(self.values.is_null())


@dataclass(frozen=True, eq=False)
class Truths:
    """A column of truth values, or the result of a condition; `missing` is None if none is missing."""

    values: Mask
    unknown: Mask | None = None
    name: str = ""

    @property
    def missing(self) -> Mask:
        """Which values are missing."""
        return np.zeros(self.values.shape, dtype=np.bool_) if self.unknown is None else self.unknown


def column_value(column: Any, name: str) -> Numbers | Texts | Truths:
    """Return a column of an Arrow table as NumPy numbers or truth values, or as the Arrow column of texts."""
    kind = str(column.type)
    if kind == "string":
        return Texts(column, name)
    if kind == "bool":
        return Truths(as_mask(column), as_mask(column.is_null()), name)
    values = np.asarray(column.cast("float64").to_numpy(), dtype=np.float64)
    return Numbers(values, name)


def metadata_value(column: Any, key: str) -> Numbers | Texts | Truths:
    """Return one column of the data set's table: numbers if all its values are, else texts.

    Args:
        column: The column `METADATA` of the audit: for each row an object of JSON, or None.
        key: Name of the column in the data set's table.

    Raises:
        DataError: No row has the column.
    """
    rows = [json.loads(text) if text else {} for text in column.to_pylist()]
    values = [row.get(key) for row in rows]
    known = {name for row in rows for name in row}
    if key not in known:
        names = ", ".join(sorted(known)) or "none"
        raise DataError(f"the metadata has no {shown(key)}.{nearest(key, known)} It has {names}.")
    arrow = need("pyarrow", extra="analysis", what="a query")
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return column_value(arrow.chunked_array([arrow.array(values, type=arrow.float64())]), key)
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return column_value(arrow.chunked_array([arrow.array(texts, type=arrow.string())]), key)


def as_mask(values: Any) -> Mask:
    """Return an Arrow array of truth values as NumPy; missing ones are false."""
    compute = need("pyarrow.compute", extra="analysis", what="a query")
    filled = compute.fill_null(values, False)
    if hasattr(filled, "combine_chunks") or hasattr(filled, "__len__"):
        return np.asarray(filled, dtype=np.bool_)
    return np.asarray(filled.as_py(), dtype=np.bool_)


def is_one_number(value: Any) -> bool:
    return isinstance(value, Numbers) and value.values.ndim == 0


def kind_of(value: Any) -> str:
    kinds: list[tuple[type, str]] = [(Numbers, "a number"), (Texts, "a text"), (str, "a text"), (list, "a list")]
    return next((text for kind, text in kinds if isinstance(value, kind)), "a truth value")
