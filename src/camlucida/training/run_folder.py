"""Folder of a training: run.json, split.csv, metrics.csv, curves.png, the weights, and optionally tensorboard/.

run.json records the plan of the training, so that a second training in the folder resumes if it is the same, and is
refused otherwise.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from camlucida._differences import differences
from camlucida._escaping import csv_text, plain_cell
from camlucida._files import atomic_write
from camlucida._locks import LOCK, locked
from camlucida.data.identity import DATA_CHANGED
from camlucida.errors import DataError
from camlucida.models.trained_run import WEIGHTS_FILE, write_weights
from camlucida.render.curves import Chart, Curve, draw_charts
from camlucida.training.state import EpochRow, TrainingState
from camlucida.training.tensorboard import event_file

METRICS = (
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "val_top5",
    "n_images",
    "n_val_images",
    "seconds",
)
"""Columns of metrics.csv."""
CURVE_METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "val_top5")
"""Metrics that are written to TensorBoard."""


@dataclass(frozen=True)
class RunFolder:
    """The folder that a training writes to."""

    path: Path

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Record the plan of a training. Raises `DataError` if the folder contains another training or other files."""
        file = self.path / "run.json"
        if file.exists():
            recorded = self.read()["training"]
            if difference := differences(recorded, plan):
                reason = f": {DATA_CHANGED}" if recorded.get("data") != plan.get("data") else ""
                raise DataError(
                    f"{self.path} contains another training: {difference}{reason}. Choose another folder, or delete "
                    "this one."
                )
            return
        if self.path.exists() and (not self.path.is_dir() or any(entry.name != LOCK for entry in self.path.iterdir())):
            raise DataError(f"{self.path} already contains other files. Choose a new or empty folder.")
        content = {"training": plan, "started": time.time()}
        atomic_write(file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def read(self) -> dict[str, Any]:
        """Return the content of run.json. Raises `DataError` if it is missing, damaged or not of a training."""
        try:
            record: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            _ = record["training"].keys(), float(record["started"])
        # ValueError: neither UTF-8 nor JSON
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataError(
                f"{self.path} contains no training: its run.json is missing, damaged or of another kind. Choose "
                "another folder, or delete this one."
            ) from None
        return record

    def lock(self) -> AbstractContextManager[None]:
        """Lock the folder during training. Raises `DataError`, which names the other process, if it is locked."""
        return locked(self.path)

    @property
    def checkpoint(self) -> Path:
        """Return the path of the checkpoint to resume from."""
        return self.path / "checkpoint.pt"

    def epoch_weights(self) -> list[Path]:
        """Return the weights files of all epochs, if they were kept; 000 are the weights before the first epoch."""
        return sorted((self.path / "epochs").glob("*.safetensors"))

    def save_epoch_weights(self, network: nn.Module, epoch: int) -> None:
        """Write the weights after an epoch; 0 stands for those before the first one."""
        write_weights(network, self.path / "epochs" / f"{epoch:03d}.safetensors")

    def save_weights(self, network: nn.Module, state: TrainingState) -> None:
        """Write the latest weights, and also as the best ones if they are."""
        write_weights(network, self.path / "last.safetensors")
        if state.best is state.rows[-1]:
            write_weights(network, self.path / WEIGHTS_FILE)

    def write_metrics(self, state: TrainingState, name: str) -> None:
        """Write metrics.csv and curves.png for all epochs so far."""
        rows = [[_format_cell(row[key]) for key in METRICS] for row in state.rows]
        self.write_table("metrics.csv", METRICS, rows)
        stream = io.BytesIO()
        plot_curves(state.rows, state.best, name).save(stream, "png", compress_level=3)
        atomic_write(self.path / "curves.png", stream.getvalue())

    def write_events(self, state: TrainingState) -> None:
        """Write TensorBoard's event file for all epochs so far. Raises `MissingExtra` without TensorBoard."""
        started = float(self.read()["started"])
        points = [
            (started + row["seconds"], row["epoch"], {key: row[key] for key in CURVE_METRICS if row[key] is not None})
            for row in state.rows
        ]
        atomic_write(self.path / "tensorboard" / "events.out.tfevents.0.camlucida", event_file(points))

    def write_table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a CSV file."""
        atomic_write(self.path / name, csv_text(columns, rows))

    def read_table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a CSV file in the folder; an empty list if it does not exist."""
        try:
            with (self.path / name).open(newline="", encoding="utf-8") as stream:
                rows = [dict(row) for row in csv.DictReader(stream)]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(f"{self.path / name} is damaged: {error}.") from None
        return [{key: plain_cell(cell or "") for key, cell in row.items()} for row in rows]

    def read_metrics(self) -> list[EpochRow]:
        """Return the rows of metrics.csv as numbers."""
        integer_columns = ("epoch", "n_images", "n_val_images")
        try:
            return [
                {key: None if not row[key] else (int if key in integer_columns else float)(row[key]) for key in METRICS}
                for row in self.read_table("metrics.csv")
            ]
        except (ValueError, KeyError) as error:
            raise DataError(f"{self.path / 'metrics.csv'} is damaged: {error}.") from None


def _format_cell(value: float | int | None) -> str:
    return "" if value is None else repr(value)


def plot_curves(rows: Sequence[EpochRow], best: EpochRow | None, name: str) -> Image.Image:
    """Plot loss and accuracy by epoch, and highlight the epoch whose weights are kept."""

    def curve(title: str, key: str) -> Curve:
        return Curve(title, [(row["epoch"], row[key]) for row in rows])

    validated = [row for row in rows if row["val_accuracy"] is not None]
    mark = (float(best["epoch"]), "kept") if best is not None and validated else None
    accuracy = [curve("training", "accuracy"), curve("validation", "val_accuracy")]
    if any(row["val_top5"] is not None for row in rows):
        accuracy.append(curve("val. top-5", "val_top5"))
    subtitle = f"{rows[-1]['n_images']} training images"
    if best is not None and best["val_accuracy"] is not None:
        subtitle += (
            f", {best['n_val_images']} validation images · best: epoch {best['epoch']}, validation accuracy "
            f"{best['val_accuracy']:.1%}"
        )
    return draw_charts(
        [
            Chart("Loss", [curve("training", "loss"), curve("validation", "val_loss")], "epoch", bottom=0.0, mark=mark),
            Chart("Accuracy", accuracy, "epoch", bottom=0.0, top=1.0, mark=mark),
        ],
        title=name,
        subtitle=subtitle,
        footer="training: mean over the epoch, with augmentation and dropout if used · validation: after the epoch",
    )
