"""The folder of a training: run.json, split.csv, metrics.csv, curves.png, the weights, and tensorboard/ if asked for.

run.json says what is learned from what, so that a second training in it is the same one and goes on, or is refused.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from camlucida.errors import DataError
from camlucida.models.runs import WEIGHTS, whole, write_weights
from camlucida.training.curves import curves
from camlucida.training.state import Row, State
from camlucida.training.tensorboard import event_file

METRICS = (
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "val_top5",
    "pictures",
    "val_pictures",
    "seconds",
)
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy", "val_top5")


@dataclass(frozen=True)
class Folder:
    """Where a training lies."""

    path: Path

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Write what will be learned; `DataError` where another training, or something else, lies there already."""
        file = self.path / "run.json"
        if file.exists():
            found = self.read()["training"]
            differing = [key for key in plan if found.get(key) != plan[key]]
            if differing:
                key = differing[0]
                raise DataError(
                    f"{self.path} holds another training: its {key} is {found.get(key)!r}, not {plan[key]!r}. Choose "
                    "another folder, or delete that one."
                )
            return
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise DataError(f"{self.path} holds something else already: choose a folder that is new or empty.")
        content = {"training": plan, "begun": time.time()}
        whole(file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def read(self) -> dict[str, Any]:
        """run.json; `DataError` where there is none that holds a training."""
        try:
            found: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            _ = found["training"].keys(), float(found["begun"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataError(f"{self.path} holds no training: it has no run.json that says so.") from None
        return found

    @property
    def checkpoint(self) -> Path:
        """What to go on from."""
        return self.path / "checkpoint.pt"

    def epoch_weights(self) -> list[Path]:
        """The weights of every epoch, if they were kept; 000 are those before the first."""
        return sorted((self.path / "epochs").glob("*.safetensors"))

    def keep_epoch(self, network: nn.Module, epoch: int) -> None:
        write_weights(network, self.path / "epochs" / f"{epoch:03d}.safetensors")

    def keep(self, network: nn.Module, state: State) -> None:
        """The last weights, and the best ones."""
        write_weights(network, self.path / "last.safetensors")
        if state.best is state.rows[-1]:
            write_weights(network, self.path / WEIGHTS)

    def write_numbers(self, state: State, name: str) -> None:
        """Write metrics.csv and curves.png from all epochs so far."""
        rows = [[_cell(row[key]) for key in METRICS] for row in state.rows]
        self.write_table("metrics.csv", METRICS, rows)
        stream = io.BytesIO()
        curves(state.rows, state.best, name).save(stream, "png", compress_level=3)
        whole(self.path / "curves.png", stream.getvalue())

    def write_events(self, state: State) -> None:
        """Write TensorBoard's event file from all epochs so far; `MissingExtra` where TensorBoard is not installed."""
        begun = float(self.read()["begun"])
        points = [
            (begun + row["seconds"], row["epoch"], {key: row[key] for key in CURVES if row[key] is not None})
            for row in state.rows
        ]
        whole(self.path / "tensorboard" / "events.out.tfevents.0.camlucida", event_file(points))

    def write_table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
        whole(self.path / name, text.getvalue().encode())

    def table(self, name: str) -> list[dict[str, str]]:
        """The rows of one of its tables; none if it is not there."""
        try:
            with (self.path / name).open(newline="", encoding="utf-8") as stream:
                return list(csv.DictReader(stream))
        except FileNotFoundError:
            return []

    def rows(self) -> list[Row]:
        """metrics.csv as numbers."""
        whole_numbers = ("epoch", "pictures", "val_pictures")
        return [
            {key: None if not text else int(text) if key in whole_numbers else float(text) for key, text in row.items()}
            for row in self.table("metrics.csv")
        ]


def _cell(value: float | int | None) -> str:
    return "" if value is None else repr(value)
