"""The result of an error analysis: the stored predictions, and the errors, intervals and figures derived from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida._files import write_image
from camlucida.analysis.calibration import Calibration, calibration, fit_temperature
from camlucida.analysis.confusion import Confusion, wilson_interval
from camlucida.analysis.correct_vs_wrong import GroupDifference, group_differences
from camlucida.analysis.error_sheet import Mistake, error_sheet, explain_mistakes
from camlucida.data.datasets import Dataset
from camlucida.errors import DataError
from camlucida.evaluation.prediction_rows import BASE_COLUMNS
from camlucida.evaluation.provenance import mismatch
from camlucida.evaluation.statistics import Interval
from camlucida.evaluation.store import Row, Store
from camlucida.models.model import Model
from camlucida.render.confusion_matrix import draw_matrix

STATISTICS = ("entropy", "energy", "energy_lift")
"""Statistics that are computed for every map."""

STORED_COLUMNS = BASE_COLUMNS | {"rank": "int64", "logits": "list<float>"} | dict.fromkeys(STATISTICS, "float64")
PREDICTIONS_FILE = "predictions.parquet"
N_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The predictions of a model on a data set, stored in predictions.parquet, and what is derived from them.

    Attributes:
        path: The folder.
        model: The model, needed with `data` to explain images again; None where only the numbers are used.
        data: The data set.
        selected: The rows to which the analysis is restricted; None for all.
    """

    path: Path
    model: Model | None = None
    data: Dataset | None = None
    selected: Sequence[Row] | None = None

    @cached_property
    def plan(self) -> dict[str, Any]:
        """Return the settings of the run."""
        return self._store.plan

    @cached_property
    def rows(self) -> list[Row]:
        """Return one row per image, without its scores."""
        if self.selected is not None:
            return list(self.selected)
        names = [name for name in STORED_COLUMNS if name != "logits"]
        return [row for table in self._store.tables(names) for row in table.to_pylist()]

    @cached_property
    def judged(self) -> list[Row]:
        """Return the rows whose label is a class of the model, so that the prediction is correct or wrong."""
        return [row for row in self.rows if row["correct"] is not None]

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Return the images that could not be read or run, each with the error message."""
        return [(row["image"], row["error"]) for row in self.rows if row["error"]]

    @property
    def unjudged(self) -> list[Row]:
        """Return the images without a label, or with a label that is no class of the model."""
        return [row for row in self.rows if row["correct"] is None and not row["error"]]

    @cached_property
    def accuracy(self) -> Interval:
        """Return the accuracy over the judged images, with Wilson's interval."""
        return wilson_interval(sum(row["correct"] for row in self.judged), len(self.judged))

    @cached_property
    def n_classes(self) -> int:
        """Return the number of class scores of the model."""
        if self.plan["labels"]:
            return len(self.plan["labels"])
        stored = (row["logits"] for table in self._store.tables(["logits"]) for row in table.to_pylist())
        return next((len(logits) for logits in stored if logits is not None), 0)

    @cached_property
    def top5(self) -> Interval | None:
        """Return the top-5 accuracy over the judged images, with Wilson's interval; None for at most five classes."""
        if self.n_classes <= 5:
            return None
        return wilson_interval(sum(row["correct"] or row["rank"] <= 5 for row in self.judged), len(self.judged))

    @cached_property
    def confusion(self) -> Confusion:
        """Return the confusion matrix of the judged images."""
        predicted = self._column("predicted_index", np.int64)
        labels = np.where(self._column("correct", np.bool_), predicted, self._column("label_index", np.int64))
        return Confusion.of(labels, predicted, self.plan["labels"])

    @cached_property
    def calibration(self) -> Calibration:
        """Return the calibration, with the fitted temperature, which is reported and not applied."""
        self._check_judged()
        result = calibration(self._column("confidence", np.float64), self._column("correct", np.bool_))
        if self.plan.get("is_probability", False):
            return result  # without logits, there is no temperature
        task = self.plan.get("task", "multiclass")
        return replace(
            result, temperature_scaling=fit_temperature(self._score_chunks, sigmoid=task in ("multilabel", "binary"))
        )

    @cached_property
    def contrasts(self) -> list[GroupDifference]:
        """Return the comparison of the maps of correct and of wrong predictions."""
        names = [name for name in STATISTICS if any(row[name] is not None for row in self.judged)]
        values = np.array([[_nan_if_none(row[name]) for name in names] for row in self.judged], dtype=np.float64)
        return group_differences(names, values.reshape(len(self.judged), len(names)), self._column("correct", np.bool_))

    def errors(self, n: int | None = None) -> list[Row]:
        """Return the wrong predictions, most confident first.

        Args:
            n: Maximum number; None for all.

        Returns:
            Their rows.
        """
        wrong = [row for row in self.judged if not row["correct"]]
        return sorted(wrong, key=lambda row: (-row["confidence"], row["index"]))[:n]

    def explain(self, n: int = N_SHOWN) -> list[Mistake]:
        """Explain the most confident wrong predictions.

        Args:
            n: Number of predictions.

        Returns:
            For each, the map of the predicted class and the map of the labelled class.

        Raises:
            DataError: If the model or the data are not available, or differ from those of the run.
        """
        if self.model is None or self.data is None:
            raise DataError(
                "explaining images needs the model and the data. Call mistakes(model, data), whose result has both."
            )
        if difference := self.mismatch():
            raise DataError(f"{self.path} holds the results of another run: {difference}.")
        plan = self.plan
        return explain_mistakes(self.model, self.data, self.errors(n), method=plan["method"], layer=plan["layer"])

    def mismatch(self) -> str:
        """Return how the model or the data differ from those of the run; empty if they do not."""
        return mismatch(self.plan, self.model, self.data)

    def figure(self, n: int = N_SHOWN) -> Image.Image:
        """Draw the maps of the predicted and the labelled class of the n most confident wrong predictions."""
        return error_sheet(
            self.explain(n), model=self.plan["model"], data=self.plan["data"], method=self.plan["method"]
        )

    def matrix(self) -> Image.Image:
        """Draw the confusion matrix; of many classes, the block of the most confused ones."""
        self._check_judged()
        confusion, block = self.confusion, self.confusion.block()
        totals = confusion.counts.sum(1)[[confusion.names.index(name) for name in block.names]]
        selection = "" if len(block.names) == len(confusion.names) else f"the {len(block.names)} most confused of "
        return draw_matrix(
            block.counts,
            block.names,
            totals=totals,
            title="Confusion matrix",
            subtitle=f"{self.plan['model']} on {self.plan['data']}: {selection}{len(confusion.names)} classes",
            footer="rows: labels · columns: predictions · shade: fraction of the row",
        )

    def save(self, path: str | Path, n: int = N_SHOWN) -> list[Path]:
        """Write the figure of the most confident wrong predictions as an image file.

        Args:
            path: File name.
            n: Number of predictions.

        Returns:
            The files written.
        """
        write_image(lambda: self.figure(n), Path(path))
        return [Path(path)]

    @property
    def _store(self) -> Store:
        return Store(self.path, STORED_COLUMNS, PREDICTIONS_FILE)

    def _column(self, name: str, dtype: Any) -> NDArray[Any]:
        return np.array([row[name] for row in self.judged], dtype=dtype)

    def _check_judged(self) -> None:
        if not self.judged:
            raise DataError(
                f"none of the {len(self.rows)} images of {self.plan['data']} has a label that is a class of "
                f"{self.plan['model']}. Name the folders after its classes, or by the indices of its outputs."
            )

    def _score_chunks(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """Yield scores and labels part by part, for the fit of the temperature."""
        selected = None if self.selected is None else {row["index"] for row in self.selected}
        for table in self._store.tables(["index", "logits", "label_index"]):
            rows = [
                row
                for row in table.to_pylist()
                if row["logits"] is not None
                and row["label_index"] is not None
                and (selected is None or row["index"] in selected)
            ]
            if rows:
                scores = np.array([row["logits"] for row in rows], dtype=np.float64)
                yield scores, np.array([row["label_index"] for row in rows], dtype=np.int64)


def _nan_if_none(value: float | None) -> float:
    return float("nan") if value is None else value
