"""The rows of an audit as the report's page holds them: names, classes, categories, and numbers by column."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida._escaping import printable
from camlucida.audits.audit_result import Audit
from camlucida.evaluation.store import Row
from camlucida.report.audit_blocks import array_block, rounded_bits, text_block
from camlucida.report.audit_targets import class_names_of, target_content

MAX_CATEGORIES = 60
"""Largest number of values of a text column by which the page can filter."""
MAX_METADATA_COLUMNS = 24
UNFILTERED = frozenset({"index", "label_index", "predicted_index", "competing_index"})
"""Numeric columns that identify a row or a class rather than measure something."""


@dataclass(frozen=True, eq=False)
class PageRows:
    """The rows of an audit that the page holds, n in number.

    Attributes:
        audit: The audit.
        positions: Positions of the rows in `audit.rows`, `(n,)`, ascending.
        rows: The rows.
    """

    audit: Audit
    positions: NDArray[np.int64]
    rows: Sequence[Row]

    @classmethod
    def of(cls, audit: Audit, max_images: int, first: Sequence[int], seed: int) -> PageRows:
        """Return the rows without errors; of more than `max_images`, those in `first` and a random sample.

        Args:
            audit: The audit.
            max_images: Largest number of rows.
            first: Positions of rows that sections of the report display, the most important first.
            seed: Seed of the sample.
        """
        rows = audit.rows
        readable = np.array([i for i, row in enumerate(rows) if row["error"] is None], dtype=np.int64)
        if len(readable) > max_images:
            allowed = set(readable.tolist())
            chosen = list(dict.fromkeys(i for i in first if i in allowed))[:max_images]
            rest = np.setdiff1d(readable, chosen)
            extra = np.random.default_rng(seed).choice(rest, max_images - len(chosen), replace=False)
            readable = np.sort(np.concatenate([np.array(chosen, dtype=np.int64), extra]))
        return cls(audit, readable, [rows[i] for i in readable])

    def page_indices(self, positions: Sequence[int]) -> list[int]:
        """Return the indices in the page of rows of the audit; rows that the page does not hold are left out."""
        where = np.searchsorted(self.positions, positions)
        inside = [(int(w), p) for w, p in zip(where, positions, strict=True) if w < len(self.positions)]
        return [w for w, p in inside if self.positions[w] == p]


def table_blocks(page: PageRows, extra: dict[str, Any]) -> dict[str, str]:
    """Return the blocks "table" (texts, as JSON) and "numbers" (float32, one column after the other).

    Args:
        page: The rows.
        extra: Further content of the block "table".
    """
    classes, codes = _class_codes(page)
    metadata_numbers, texts = _metadata(page.rows)
    numbers = {**metadata_numbers, **_numbers(page)}
    texts = {"split": [row["split"] for row in page.rows], **texts}
    if page.audit.has_targets:
        texts["outcome"] = [row["outcome"] for row in page.rows]
        extra = {**extra, **target_content(page.rows)}
    categories = {name: coded for name, values in texts.items() if (coded := _categories(values))}
    content = {
        "n": len(page.rows),
        "positions": page.positions.tolist(),
        "names": [printable(str(row["image"]), lines=False) for row in page.rows],
        "classes": [printable(name, lines=False) for name in classes],
        **codes,
        "correct": [{True: 1, False: 0, None: -1}[row["correct"]] for row in page.rows],
        "categories": categories,
        "numbers": list(numbers),
        **extra,
    }
    matrix = np.stack(list(numbers.values())) if numbers else np.zeros((0, len(page.rows)))
    return {"table": text_block(content), "numbers": array_block(rounded_bits(matrix))}


def _class_codes(page: PageRows) -> tuple[list[str], dict[str, list[int]]]:
    """Return the class names that occur, and the label, predicted and competing class of each row; -1 for none."""
    values = {kind: [row[kind] for row in page.rows] for kind in ("label", "predicted", "competing")}
    if page.audit.has_targets:
        pairs = [class_names_of(row) for row in page.rows]
        values |= {"label": [label for label, _ in pairs], "predicted": [predicted for _, predicted in pairs]}
    names = sorted({str(name) for kind in values.values() for name in kind if name is not None})
    code = {name: i for i, name in enumerate(names)}
    return names, {
        kind: [-1 if name is None else code[str(name)] for name in listed] for kind, listed in values.items()
    }


def _numbers(page: PageRows) -> dict[str, NDArray[np.float64]]:
    """Return the numeric columns of the table that have a value, without those of further methods."""
    table = page.audit.table
    further = tuple(f"{name}." for name in page.audit.store.method_names[1:])
    columns = {}
    for name in table.column_names:
        if str(table[name].type) in ("double", "int64") and name not in UNFILTERED and not name.startswith(further):
            values = page.audit.column(name)[page.positions]
            if np.isfinite(values).any():
                columns[name] = values
    return columns


def _metadata(rows: Sequence[Row]) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """Return the further columns of the data set's table: the numeric ones, and the others as texts."""
    records = [json.loads(row["metadata"]) if row["metadata"] else {} for row in rows]
    counts = Counter(name for record in records for name in record)
    numbers: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, Any] = {}
    for name, _ in counts.most_common(MAX_METADATA_COLUMNS):
        values = [record.get(name) for record in records]
        parsed = [_number(value) for value in values]
        if all((value is None) == (number is None) for value, number in zip(values, parsed, strict=True)):
            numbers[name] = np.array([np.nan if number is None else number for number in parsed])
        else:
            texts[name] = values
    return numbers, texts


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _categories(values: Sequence[Any]) -> dict[str, list[Any]] | None:
    """Return the distinct values and the code of each row, -1 for none; None for one value, or for too many."""
    texts = [None if value is None or value == "" else str(value) for value in values]
    names = sorted({text for text in texts if text is not None})
    if not 2 <= len(names) <= MAX_CATEGORIES:
        return None
    code = {name: i for i, name in enumerate(names)}
    return {
        "values": [printable(name, lines=False) for name in names],
        "codes": [-1 if text is None else code[text] for text in texts],
    }
