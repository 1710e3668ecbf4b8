"""Bounding boxes from a CSV file with one line per box."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camlucida.errors import DataError


@dataclass
class LabelledBoxes:
    """The label and the boxes that a table lists for one image.

    Attributes:
        label: The label of the image: that of its last line.
        boxes: The boxes.
        box_labels: The label in the line of each box; "" without one.
    """

    label: str = ""
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    box_labels: list[str] = field(default_factory=list)


COLUMN_ALIASES = {
    "file": ("file", "filename", "path", "image", "name"),
    "label": ("label", "class", "class_name", "target", "category"),
    "x0": ("x0", "xmin", "left"),
    "y0": ("y0", "ymin", "top"),
    "x1": ("x1", "xmax", "right"),
    "y1": ("y1", "ymax", "bottom"),
}
"""Accepted names of each column of a table of boxes."""


def read_boxes(path: str | Path) -> dict[str, LabelledBoxes]:
    """Return the label and boxes of each file in a CSV file with one line per box.

    Args:
        path: A CSV file with the columns file, x0, y0, x1, y1 and optionally label. x1 and y1 are exclusive, in pixels
            of the stored image.

    Raises:
        DataError: If the table cannot be read; the message names the line.
    """
    file = Path(path).expanduser()
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            columns = _columns(table.fieldnames or [], file)
            rows: dict[str, LabelledBoxes] = {}
            for number, line in enumerate(table, start=2):
                _add_row(rows, line, columns, f"{file.name}, line {number}")
            return rows
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{file.name} is not UTF-8 text.") from None


def _columns(header: Sequence[str], file: Path) -> dict[str, str]:
    by_lower = {name.strip().lower(): name for name in header}
    columns = {key: by_lower[n] for key, names in COLUMN_ALIASES.items() for n in reversed(names) if n in by_lower}
    missing = [key for key in COLUMN_ALIASES if key not in columns and key != "label"]
    if missing:
        raise DataError(
            f"{file.name} needs the columns file, x0, y0, x1, y1 (and optionally label). It lacks "
            f"{', '.join(missing)} and has {', '.join(header) or 'none'}."
        )
    return columns


def _add_row(
    rows: dict[str, LabelledBoxes], line: Mapping[str, Any], columns: Mapping[str, str], location: str
) -> None:
    name = (line.get(columns["file"]) or "").strip()
    if not name:
        raise DataError(f"{location}: the file name is empty.")
    row = rows.setdefault(name, LabelledBoxes())
    row.label = (line.get(columns.get("label", "")) or row.label).strip()
    corners = [(line.get(columns[c]) or "").strip() for c in ("x0", "y0", "x1", "y1")]
    if not any(corners):
        return
    try:
        x0, y0, x1, y1 = (float(c) for c in corners)
    except ValueError:
        raise DataError(f"{location}: a box must be four numbers, not {', '.join(corners)}.") from None
    if not (x0 < x1 and y0 < y1):
        raise DataError(f"{location}: a box must have x0 < x1 and y0 < y1, not {x0:g} {y0:g} {x1:g} {y1:g}.")
    row.boxes.append((x0, y0, x1, y1))
    row.box_labels.append((line.get(columns.get("label", "")) or "").strip())
