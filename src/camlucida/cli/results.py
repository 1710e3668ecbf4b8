"""The table results.csv of a command over several images, which an interrupted run resumes.

Beside the table lies results.run.json with the settings of the run and a hash of every image. The same command in the
same folder continues the table: images that are in it, are unchanged and have their files are not computed again. Other
settings begin a table of their own, results-2.csv. Both files are written every few seconds, and when the command ends,
also with Ctrl-C.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from camlucida._escaping import csv_text, plain_cell
from camlucida._files import atomic_write
from camlucida.cli.images import output_stems

if TYPE_CHECKING:
    from camlucida.errors import NothingFound
    from camlucida.models.model import Model

WRITE_INTERVAL_S = 2.0
"""Time in seconds between two writes of an unfinished table."""

HASH_LETTERS = 16
"""Number of hexadecimal digits of the SHA-256 of an image file."""


_MEMBERS = ("settings", "images", "stems")


class ResultsTable:
    """The rows of a run, in the order of the images; a context manager that writes them when it ends.

    Attributes:
        path: The CSV file.
        done: The rows of an earlier run with the same settings, by image; more than one for several maps of an image.
    """

    def __init__(
        self,
        folder: Path,
        columns: Sequence[str],
        settings: Mapping[str, Any],
        images: Sequence[Path],
        *,
        overwrite: bool = False,
    ) -> None:
        """Open the table of an earlier run with these settings, or begin one.

        Args:
            folder: The output folder of the command.
            columns: Names of the columns; among them "image", "file" and "error".
            settings: What determines the results.
            images: The images of this run, in the order of the rows.
            overwrite: Whether to begin again in results.csv, whatever it holds.
        """
        self._columns = tuple(columns)
        self._settings = json.loads(json.dumps({**settings}, default=str))
        self._images = list(dict.fromkeys(images))
        self._rows: dict[Path, list[dict[str, Any]]] = {}
        self._hashes = {image: _file_hash(image) for image in self._images}
        self._written = time.monotonic()
        self._stems: dict[Path, str] = {}
        self.done: dict[Path, list[dict[str, str]]] = {}
        self.path = folder / "results.csv"
        if not overwrite:
            self._find(folder)

    def _find(self, folder: Path) -> None:
        """Find the table to continue, or the first name that is free."""
        for number in range(1, 10_000):
            self.path = folder / ("results.csv" if number == 1 else f"results-{number}.csv")
            record = _read_record(self._record)
            if record is not None and record["settings"] == self._settings:
                self.done = dict(self._earlier(record["images"]))
                self._stems = {
                    image: record["stems"][str(image)]
                    for image in self._images
                    if isinstance(record["stems"].get(str(image)), str)
                    and record["images"].get(str(image)) == self._hashes[image]
                }
                self._rows = {image: list(rows) for image, rows in self.done.items()}
                return
            if not os.path.lexists(self.path) and not os.path.lexists(self._record):
                return

    @property
    def _record(self) -> Path:
        return self.path.with_suffix(".run.json")

    def _earlier(self, hashes: Mapping[str, Any]) -> Iterator[tuple[Path, list[dict[str, str]]]]:
        """Yield the images whose rows are complete, with these rows."""
        by_image: dict[str, list[dict[str, str]]] = {}
        for row in _read_rows(self.path, self._columns):
            by_image.setdefault(row["image"], []).append(row)
        for image in self._images:
            rows = by_image.get(str(image), [])
            is_unchanged = self._hashes[image] is not None and hashes.get(str(image)) == self._hashes[image]
            if rows and is_unchanged and all(map(_is_complete, rows)):
                yield image, rows

    @property
    def n_empty(self) -> int:
        """Return the number of images in which nothing was found to explain: their row has neither error nor file."""
        return sum(not any(row.get("error") or row.get("file") for row in rows) for rows in self._rows.values())

    @property
    def open_images(self) -> list[Path]:
        """Return the images that are not in the table yet."""
        return [image for image in self._images if image not in self.done]

    @property
    def n_failed(self) -> int:
        """Return the number of images whose row is an error."""
        return sum(any(row.get("error") for row in rows) for rows in self._rows.values())

    def stems(self, endings: Sequence[str], *, overwrite: bool = False) -> dict[Path, str]:
        """Return the stem of the files of every image: that of the interrupted run, or as `output_stems` does."""
        new = output_stems(self._images, self.path.parent, endings, overwrite=overwrite)
        self._stems = new | self._stems
        return self._stems

    def add(self, image: Path, rows: Sequence[dict[str, Any]]) -> None:
        """Add the rows of an image, and write the table if the last time is long ago."""
        self._rows[image] = list(rows)
        if time.monotonic() - self._written > WRITE_INTERVAL_S:
            self.write()

    def write(self) -> None:
        """Write the table and the settings."""
        images = [image for image in self._images if image in self._rows]
        atomic_write(self._record, json.dumps(self._as_record(), indent=2) + "\n")
        atomic_write(self.path, csv_text(self._columns, (row for image in images for row in self._rows[image])))
        self._written = time.monotonic()

    def _as_record(self) -> dict[str, Any]:
        return {
            "settings": self._settings,
            "images": {str(image): file_hash for image, file_hash in self._hashes.items()},
            "stems": {str(image): stem for image, stem in self._stems.items()},
        }

    def __enter__(self) -> Self:
        """Write the settings: a table without them is never continued, and never replaced."""
        atomic_write(self._record, json.dumps(self._as_record(), indent=2) + "\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rows:
            self.write()


def nothing_row(image: Path, error: NothingFound) -> dict[str, Any]:
    """Return the row of an image without a detection, region or word: a result, and no failure."""
    return {"image": str(image), "target": error.summary}


def _is_complete(row: Mapping[str, str]) -> bool:
    """Return whether a row need not be computed again: it has no error, and its file exists if it has one."""
    return not row["error"] and (not row["file"] or os.path.isfile(row["file"]))


def model_settings(model: Model) -> dict[str, Any]:
    """Return what determines the results of a model, for the record of a run that can be resumed."""
    from camlucida.attribution.reproduction import versions
    from camlucida.models.image_text import PromptScores

    return {
        "model": model.name,
        "weights": model.weights_hash,
        "labels": list(model.labels),
        **({"prompts": repr(model.output)} if isinstance(model.output, PromptScores) else {}),
        "task": model.task,
        "probabilities": model.probabilities,
        "preprocessing": repr(model.preprocessing),
        "versions": versions(),
    }


def _file_hash(path: Path) -> str | None:
    """Return a hash of the content of a file; None if it cannot be read."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:HASH_LETTERS]
    except (OSError, ValueError):
        return None


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and all(isinstance(record.get(key), dict) for key in _MEMBERS)
    return record if is_record else None


def _read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a table; empty if it cannot be read or has other columns."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if tuple(reader.fieldnames or ()) != tuple(columns):
                return []
            return [
                {name: plain_cell(cell) for name, cell in row.items() if isinstance(cell, str)}
                for row in reader
                if None not in row and None not in row.values()
            ]
    except (OSError, ValueError, csv.Error):
        return []
