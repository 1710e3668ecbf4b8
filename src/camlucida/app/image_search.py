"""Search for images of a run by class, name and metadata: `dog split:val camera:front predicted:"red fox"`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from camlucida.data.datasets import Dataset, metadata_of
from camlucida.errors import DataError, nearest
from camlucida.evaluation.store import Row

TERM = re.compile(r'(?:(?P<quoted_column>"[^"]*"|[^\s":]+):)?(?P<value>"[^"]*"|[^\s"]+)')
"""A word, or a column and a value; both may be quoted."""

TEXTS: Mapping[str, Callable[[Row], str]] = {
    "class": lambda row: _class_of(row),
    "predicted": lambda row: str(row["predicted"] or ""),
    "name": lambda row: str(row["image"]),
}
"""Columns of which a part of the text is sufficient."""
SPLIT = "split"


@dataclass(frozen=True)
class Term:
    """One condition of a search.

    Attributes:
        column: The column, or "" for the class or the name.
        value: The value in lower case.
    """

    column: str
    value: str


def parse_search(text: str) -> list[Term]:
    """Return the conditions of a search, all of which an image must fulfil.

    Args:
        text: Words, and pairs `column:value`.
    """
    terms = []
    for match in TERM.finditer(text):
        column, value = (match[group] or "" for group in ("quoted_column", "value"))
        terms.append(Term(column.strip('"').lower(), value.strip('"').lower()))
    return terms


class ImageSearch:
    """The searchable columns of a run.

    Words are searched in the name of the class (of the predicted one if an image has no label) and in the name of the
    image. `class:`, `predicted:` and `name:` search one of them; `split:` and the columns of the data set's metadata
    compare the whole value. Case does not matter.

    Args:
        rows: The rows of the run.
        data: The data set with the images of the run; None if the app does not have them, so that there is no metadata.
    """

    def __init__(self, rows: Sequence[Row], data: Dataset | None) -> None:
        self.rows = [row for row in rows if not row.get("error")]
        self._metadata: list[Mapping[str, Any]] = [
            {} if data is None else _lower_keys(metadata_of(data, row["index"])) for row in self.rows
        ]
        self.columns = [*TEXTS, SPLIT, *sorted({name for metadata in self._metadata for name in metadata})]
        """The columns that can be searched, in lower case."""

    def find(self, text: str) -> list[Row]:
        """Return the rows that fulfil all conditions of a search.

        Raises:
            DataError: If a column does not exist.
        """
        terms = parse_search(text)
        for term in terms:
            if term.column and term.column not in self.columns:
                raise DataError(
                    f"there is no column {term.column[:60]!r} to search.{nearest(term.column, self.columns)} Columns: "
                    f"{', '.join(self.columns)}."
                )
        return [
            row
            for row, metadata in zip(self.rows, self._metadata, strict=True)
            if all(_fulfils(row, metadata, term) for term in terms)
        ]


def _fulfils(row: Row, metadata: Mapping[str, Any], term: Term) -> bool:
    if not term.column:
        return term.value in _class_of(row).lower() or term.value in str(row["image"]).lower()
    if term.column in TEXTS:
        return term.value in TEXTS[term.column](row).lower()
    value = row.get(SPLIT) if term.column == SPLIT else metadata.get(term.column)
    return value is not None and str(value).lower() == term.value


def _class_of(row: Row) -> str:
    return str(row["label"] or row["predicted"] or "")


def _lower_keys(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return {str(name).lower(): value for name, value in metadata.items()}
