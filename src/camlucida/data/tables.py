"""Datasets from a table (CSV or Parquet) with one line per image, or several lines if it has several boxes.

The columns are `path,label,split,x0,y0,x1,y1`; instead of the corners, a column `boxes` may hold a list of boxes. All
further columns become the metadata of the items.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from camlucida._optional import need
from camlucida.data.box_csv import COLUMN_ALIASES
from camlucida.data.dataset import Item, ListDataset, labelled_objects
from camlucida.data.folders import SPLITS
from camlucida.data.location import Location, location_of
from camlucida.errors import DataError

TABLE_COLUMN_ALIASES: Mapping[str, tuple[str, ...]] = {
    **COLUMN_ALIASES,
    "boxes": ("boxes", "bboxes", "box", "bbox"),
    "split": ("split", "set", "subset", "fold"),
}
"""Accepted names of each column."""
FURTHER = "further columns"
"""Key of the columns without a meaning of their own; not a name that a column can be asked for by."""
BOX_COLUMNS = ("x0", "y0", "x1", "y1")
TABLE_SUFFIXES = (".csv", ".parquet")


@dataclass
class TableEntry:
    """What the table lists for one image."""

    label: str = ""
    split: str = ""
    boxes: list[list[float]] = field(default_factory=list)
    box_labels: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    metadata: list[Mapping[str, Any]] = field(default_factory=list)


def table_dataset(path: str | Path | Location) -> ListDataset:
    """Return the images that a table lists as a dataset; paths are relative to the folder of the table.

    Args:
        path: A .csv or .parquet file. Its columns are path (or file, image, ...) and optionally label (a name or a
            number), split, and boxes (a list of [x0, y0, x1, y1]) or x0, y0, x1, y1. Right and bottom are exclusive, in
            pixels of the stored image. Invalid values are ignored and listed in the item's `problems`. All further
            columns, such as the site or the camera, are the item's `metadata`; a column whose values differ between the
            rows of one image describes its boxes, and is left out for this image.

    Raises:
        DataError: If the table cannot be read or lists no image.
    """
    file = location_of(path)
    entries: dict[str, TableEntry] = {}
    for number, row in enumerate(_read_rows(file), start=2):
        name = str(row.get("file") or "").strip()
        location = f"{file.name}, line {number}"
        if not name:
            raise DataError(f"{location}: the file name is empty.")
        _add_row(entries.setdefault(name, TableEntry()), row, location)
    if not entries:
        raise DataError(f"{file.name} lists no images.")
    labels = {name for line in entries.values() for name in (line.label, *line.box_labels)} - {""}
    classes = tuple(sorted(labels, key=lambda name: (0, int(name), name) if name.isdigit() else (1, 0, name)))
    label_of = {name: number for number, name in enumerate(classes)}
    items = []
    for name, entry in entries.items():
        image = location_of(name) if _is_absolute(name) else file.parent / name
        boxes = np.array(entry.boxes, dtype=np.float64) if entry.boxes else None
        label = label_of.get(entry.label)
        items.append(
            Item(
                image,
                name,
                label,
                boxes,
                split=entry.split,
                problems=tuple(entry.problems),
                metadata=_common_values(entry.metadata),
                objects=labelled_objects(entry.boxes, [label_of.get(own, label) for own in entry.box_labels], label),
            )
        )
    return ListDataset(file.stem, items, classes)


def _is_absolute(name: str) -> bool:
    return "://" in name or name.startswith("~") or Path(name).is_absolute()


def _read_rows(file: Location) -> Iterator[dict[str, Any]]:
    """The lines, with our own names of the columns."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}.") from None
    header, rows = (_read_parquet if file.suffix.lower() == ".parquet" else _read_csv)(content, file)
    by_lower = {name.strip().lower(): name for name in header}
    columns = {
        key: by_lower[n] for key, names in TABLE_COLUMN_ALIASES.items() for n in reversed(names) if n in by_lower
    }
    if "file" not in columns:
        raise DataError(
            f"{file.name} needs a column path (or {', '.join(TABLE_COLUMN_ALIASES['file'])}); it has "
            f"{', '.join(header) or 'none'}."
        )
    further = [name for name in header if name and name not in columns.values()]
    return (
        {key: row.get(name) for key, name in columns.items()} | {FURTHER: {name: row.get(name) for name in further}}
        for row in rows
    )


def _read_csv(content: bytes, file: Location) -> tuple[list[str], Iterator[dict[str, Any]]]:
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError:
        raise DataError(f"{file.name} is not UTF-8 text.") from None
    return list(rows.fieldnames or []), iter(rows)


def _read_parquet(content: bytes, file: Location) -> tuple[list[str], Iterator[dict[str, Any]]]:
    parquet = need("pyarrow.parquet", extra="analysis", what=f"reading {file.name}")
    try:
        contents = parquet.ParquetFile(io.BytesIO(content), pre_buffer=False).read(use_threads=False)
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise DataError(f"{file.name} is not a Parquet file: {error}.") from None
    return list(contents.column_names), iter(contents.to_pylist())


def _common_values(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the further columns whose values are the same in all rows of an image; empty cells are no values."""
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            plain = value.strip() if isinstance(value, str) else value
            if plain not in (None, "") and plain not in values.setdefault(name, []):
                values[name].append(plain)
    return {name: found[0] for name, found in values.items() if len(found) == 1}


def _add_row(entry: TableEntry, row: Mapping[str, Any], location: str) -> None:
    entry.metadata.append(row[FURTHER])
    values = {key: "" if row.get(key) is None else str(row[key]).strip() for key in ("label", "split")}
    if values["label"] and entry.label and values["label"] != entry.label:
        entry.problems.append(f"{location}: the label is {values['label']}, but an earlier row has {entry.label}.")
    entry.label = entry.label or values["label"]
    entry.split = SPLITS.get(values["split"].lower(), values["split"]) or entry.split
    corners = [row.get(corner) for corner in BOX_COLUMNS]
    try:
        raw_boxes = _parse_boxes(row.get("boxes")) + ([corners] if any(c not in (None, "") for c in corners) else [])
        boxes = [[float(number) for number in box] for box in raw_boxes]
    except (TypeError, ValueError):
        entry.problems.append(f"{location}: a box must be four numbers, not {row.get('boxes') or corners}.")
        return
    for box in boxes:
        if len(box) != 4 or not (box[0] < box[2] and box[1] < box[3]):
            entry.problems.append(f"{location}: a box must have x0 < x1 and y0 < y1, not {box}.")
        else:
            entry.boxes.append(box)
            entry.box_labels.append(values["label"])


def _parse_boxes(value: Any) -> list[Any]:
    """Return a list of boxes from a list or from JSON; a single box need not be in a list."""
    parsed = json.loads(value) if isinstance(value, str) and value.strip() else value
    if parsed in (None, ""):
        return []
    return [parsed] if parsed and not isinstance(parsed[0], list | tuple) else list(parsed)
