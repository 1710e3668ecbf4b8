"""Pictures from a table, CSV or Parquet: a line a picture, or several lines where it has several boxes.

path,label,split,x0,y0,x1,y1       or a column `boxes` with a list of boxes
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from camlucida.data.boxes import NAMES
from camlucida.data.folders import SPLITS
from camlucida.data.items import Item, Listed
from camlucida.data.places import Place, place_of
from camlucida.errors import DataError
from camlucida.extras import need

COLUMNS: Mapping[str, tuple[str, ...]] = {
    **NAMES,
    "boxes": ("boxes", "bboxes", "box", "bbox"),
    "split": ("split", "set", "subset", "fold"),
}
CORNERS = ("x0", "y0", "x1", "y1")
TABLES = (".csv", ".parquet")


@dataclass
class Line:
    """What the table says of one picture."""

    label: str = ""
    split: str = ""
    boxes: list[list[float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def table(path: str | Path | Place) -> Listed:
    """The pictures that a table names, relative to its folder.

    Columns: path (or file, image, …); if known, label (a name or a number), split, and boxes (a list of
    [x0, y0, x1, y1]) or x0, y0, x1, y1; right and bottom exclusive, in pixels of the stored picture. What a line says
    wrongly is left out and stands in the item's `problems`. Raises `DataError` where the table cannot be read.
    """
    file = place_of(path)
    lines: dict[str, Line] = {}
    for number, row in enumerate(_rows(file), start=2):
        name = str(row.get("file") or "").strip()
        where = f"{file.name}, line {number}"
        if not name:
            raise DataError(f"{where}: no file is named.")
        _add(lines.setdefault(name, Line()), row, where)
    if not lines:
        raise DataError(f"{file.name} names no picture.")
    labels = {line.label for line in lines.values()} - {""}
    classes = tuple(sorted(labels, key=lambda name: (0, int(name), name) if name.isdigit() else (1, 0, name)))
    order = {name: number for number, name in enumerate(classes)}
    items = []
    for name, line in lines.items():
        picture = place_of(name) if _whole(name) else file.parent / name
        boxes = np.array(line.boxes, dtype=np.float64) if line.boxes else None
        label = order.get(line.label)
        items.append(Item(picture, name, label, boxes, split=line.split, problems=tuple(line.problems)))
    return Listed(file.stem, items, classes)


def _whole(name: str) -> bool:
    return "://" in name or name.startswith("~") or Path(name).is_absolute()


def _rows(file: Place) -> Iterator[dict[str, Any]]:
    """The lines, with our own names of the columns."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}.") from None
    have, rows = (_parquet if file.suffix.lower() == ".parquet" else _csv)(content, file)
    plain = {name.strip().lower(): name for name in have}
    found = {key: plain[n] for key, names in COLUMNS.items() for n in reversed(names) if n in plain}
    if "file" not in found:
        raise DataError(
            f"{file.name} needs a column path (or {', '.join(COLUMNS['file'])}); it has {', '.join(have) or 'none'}."
        )
    return ({key: row.get(name) for key, name in found.items()} for row in rows)


def _csv(content: bytes, file: Place) -> tuple[list[str], Iterator[dict[str, Any]]]:
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError:
        raise DataError(f"{file.name} is no UTF-8 text.") from None
    return list(rows.fieldnames or []), iter(rows)


def _parquet(content: bytes, file: Place) -> tuple[list[str], Iterator[dict[str, Any]]]:
    parquet = need("pyarrow.parquet", extra="analysis", what=f"reading {file.name}")
    try:
        read = parquet.read_table(io.BytesIO(content))
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise DataError(f"{file.name} is no Parquet file: {error}.") from None
    return list(read.column_names), iter(read.to_pylist())


def _add(line: Line, row: Mapping[str, Any], where: str) -> None:
    said = {key: "" if row.get(key) is None else str(row[key]).strip() for key in ("label", "split")}
    if said["label"] and line.label and said["label"] != line.label:
        line.problems.append(f"{where}: the label is {said['label']}, and was {line.label} before.")
    line.label = line.label or said["label"]
    line.split = SPLITS.get(said["split"].lower(), said["split"]) or line.split
    corners = [row.get(corner) for corner in CORNERS]
    try:
        found = _several(row.get("boxes")) + ([corners] if any(c not in (None, "") for c in corners) else [])
        boxes = [[float(number) for number in box] for box in found]
    except (TypeError, ValueError):
        line.problems.append(f"{where}: a box is four numbers, not {row.get('boxes') or corners}.")
        return
    for box in boxes:
        if len(box) != 4 or not (box[0] < box[2] and box[1] < box[3]):
            line.problems.append(f"{where}: a box goes from left to right and from top to bottom, not {box}.")
        else:
            line.boxes.append(box)


def _several(value: Any) -> list[Any]:
    """Boxes as a list, or as JSON; one box may stand alone."""
    read = json.loads(value) if isinstance(value, str) and value.strip() else value
    if read in (None, ""):
        return []
    return [read] if read and not isinstance(read[0], list | tuple) else list(read)
