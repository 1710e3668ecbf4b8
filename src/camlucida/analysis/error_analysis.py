"""mistakes(): where a model errs over a data set, how sure it is then, and what it saw and missed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from camlucida._files import write_image
from camlucida.analysis.calibration import Calibration, calibration, fit_temperature
from camlucida.analysis.confusion import Confusion, wilson_interval
from camlucida.analysis.correct_vs_wrong import GroupDifference, group_differences
from camlucida.analysis.dataset_pass import BASE_COLUMNS, DatasetPass, LoadedImage, prediction_row, run_pass
from camlucida.analysis.error_sheet import Mistake, error_sheet, explain_mistakes
from camlucida.attribution.attribute import attributions
from camlucida.attribution.explain import as_model
from camlucida.attribution.request import AttributionRequest, one_layer
from camlucida.data.datasets import Dataset, check_dataset, sample_indices
from camlucida.errors import DataError
from camlucida.evaluation.metric_inputs import MethodExplainer, MetricInputs
from camlucida.evaluation.provenance import mismatch
from camlucida.evaluation.statistics import Interval
from camlucida.evaluation.store import Row, Store
from camlucida.methods import find as find_method
from camlucida.metrics import find as find_metric
from camlucida.models.model import Model
from camlucida.options import Count, Seed, checked_arguments
from camlucida.render.confusion_matrix import draw_matrix
from camlucida.types import ProgressCallback

STATISTICS = ("entropy", "energy", "energy_lift")
"""What is measured of every map."""

STORED_COLUMNS = BASE_COLUMNS | {"rank": "int64", "logits": "list<float>"} | dict.fromkeys(STATISTICS, "float64")
PREDICTIONS_FILE = "predictions.parquet"
N_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Mistakes:
    """What a model says about a data set, row by row in predictions.parquet, and what follows from it.

    path    the folder
    model   with `data`, to explain pictures again; None where only the numbers are wanted
    """

    path: Path
    model: Model | None = None
    data: Dataset | None = None

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What was asked."""
        return self._store.plan

    @cached_property
    def rows(self) -> list[Row]:
        """A row a picture, without its scores."""
        names = [name for name in STORED_COLUMNS if name != "logits"]
        return [row for table in self._store.tables(names) for row in table.to_pylist()]

    @cached_property
    def judged(self) -> list[Row]:
        """Those whose true class the model has, so that they are right or wrong."""
        return [row for row in self.rows if row["correct"] is not None]

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Pictures that could not be read or run, with the reason."""
        return [(row["picture"], row["error"]) for row in self.rows if row["error"]]

    @property
    def unjudged(self) -> list[Row]:
        """Pictures without a label, or with one that the model does not have."""
        return [row for row in self.rows if row["correct"] is None and not row["error"]]

    @cached_property
    def accuracy(self) -> Interval:
        """Of the judged ones, with Wilson's interval."""
        return wilson_interval(sum(row["correct"] for row in self.judged), len(self.judged))

    @cached_property
    def top5(self) -> Interval:
        """Of the judged ones, those whose true class is among the five likeliest."""
        return wilson_interval(sum(row["correct"] or row["rank"] <= 5 for row in self.judged), len(self.judged))

    @cached_property
    def confusion(self) -> Confusion:
        predicted = self._column("predicted", np.int64)
        labels = np.where(self._column("correct", np.bool_), predicted, self._column("truth", np.int64))
        return Confusion.of(labels, predicted, self.plan["labels"])

    @cached_property
    def calibration(self) -> Calibration:
        """With the temperature that would help, which is reported, not applied."""
        self._check_judged()
        result = calibration(self._column("confidence", np.float64), self._column("correct", np.bool_))
        return replace(result, temperature_scaling=fit_temperature(self._score_chunks))

    @cached_property
    def contrasts(self) -> list[GroupDifference]:
        """The maps of right answers beside those of wrong ones."""
        names = [name for name in STATISTICS if any(row[name] is not None for row in self.judged)]
        values = np.array([[_nan_if_none(row[name]) for name in names] for row in self.judged], dtype=np.float64)
        return group_differences(names, values.reshape(len(self.judged), len(names)), self._column("correct", np.bool_))

    def errors(self, n: int | None = None) -> list[Row]:
        """The wrong answers, the surest first."""
        wrong = [row for row in self.judged if not row["correct"]]
        return sorted(wrong, key=lambda row: (-row["confidence"], row["index"]))[:n]

    def explain(self, n: int = N_SHOWN) -> list[Mistake]:
        """The n surest wrong answers, each with the map of what was said and the map of what is true."""
        if self.model is None or self.data is None:
            raise DataError("to explain pictures the model and the data are needed: mistakes(model, data) has them.")
        if difference := self.mismatch():
            raise DataError(f"{self.path} was made otherwise: {difference}.")
        plan = self.plan
        return explain_mistakes(self.model, self.data, self.errors(n), method=plan["method"], layer=plan["layer"])

    def mismatch(self) -> str:
        """What of the model and the data is not as it was, or nothing."""
        return mismatch(self.plan, self.model, self.data)

    def figure(self, n: int = N_SHOWN) -> Image.Image:
        """What it saw, what it missed: the n surest wrong answers on a sheet."""
        return error_sheet(
            self.explain(n), model=self.plan["model"], data=self.plan["data"], method=self.plan["method"]
        )

    def matrix(self) -> Image.Image:
        """The confusion matrix as a picture; of many classes the block that is confused most."""
        self._check_judged()
        confusion, block = self.confusion, self.confusion.block()
        totals = confusion.counts.sum(1)[[confusion.names.index(name) for name in block.names]]
        selection = "" if len(block.names) == len(confusion.names) else f"the {len(block.names)} most confused of "
        return draw_matrix(
            block.counts,
            block.names,
            totals=totals,
            title="Which class is taken for which",
            subtitle=f"{self.plan['model']} on {self.plan['data']}: {selection}{len(confusion.names)} classes",
            footer="rows: what is true · columns: what the model says · as dark as the share of the row",
        )

    def save(self, path: str | Path, n: int = N_SHOWN) -> list[Path]:
        """The sheet as a picture; returns the files written."""
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
                f"none of {len(self.rows)} pictures of {self.plan['data']} has a label that is a class of "
                f"{self.plan['model']}: name the folders after its classes, or number them by its outputs."
            )

    def _score_chunks(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        for table in self._store.tables(["logits", "truth"]):
            rows = [row for row in table.to_pylist() if row["logits"] is not None and row["truth"] is not None]
            if rows:
                scores = np.array([row["logits"] for row in rows], dtype=np.float64)
                yield scores, np.array([row["truth"] for row in rows], dtype=np.int64)


@checked_arguments(DataError)
def mistakes(
    model: Model | nn.Module | str,
    data: Dataset,
    *,
    method: str = "grad_cam",
    layer: str | int | None = None,
    maps: bool = True,
    limit: Count | None = None,
    seed: Seed = 0,
    out: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
) -> Mistakes:
    """Where a model errs over a data set.

    model     as of `explain`
    data      a data set with labels: `open_dataset("photos/")`
    method    makes the maps, at `layer`
    maps      also measure a map of every picture: how spread out it is, how much of it lies on the object where that
              is known. Without, a picture takes one run of the network
    limit     how many pictures, drawn at random with `seed`; None for all
    out       a folder for run.json, parts/ and predictions.parquet. What is there is not asked again. None for a
              temporary one
    source    how the model and the data were named, to be kept beside the numbers
    progress  told how many of how many pictures are done

    A picture that cannot be read is a row with its reason. Raises `DataError` where `out` holds another run.
    """
    wrapped = as_model(model)
    check_dataset(data)
    indices = sample_indices(len(data), limit, seed)
    if not indices:
        raise DataError(f"{data.name} has no pictures.")
    dataset_pass = DatasetPass.of(wrapped, data, indices)
    chosen = find_method(method)
    one_layer(layer, "mistakes are measured with maps of")
    explainer = MethodExplainer((chosen, chosen.with_options({})), layer)
    store = Store(
        Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="camlucida-")), STORED_COLUMNS, PREDICTIONS_FILE
    )
    request = {"method": chosen.name, "layer": layer, "maps": maps, "seed": seed}
    with store.lock():
        store.begin({"analysis": "mistakes", **dataset_pass.record(), **request}, source)
        run_pass(
            store,
            dataset_pass,
            lambda batch: _predict_and_explain(wrapped, explainer, batch, maps),
            _row_writer(dataset_pass, explainer),
            progress,
        )
    return Mistakes(store.path, wrapped, data)


def _predict_and_explain(
    model: Model, explainer: MethodExplainer, batch: Tensor, maps: bool
) -> Sequence[tuple[Tensor, Tensor | None]]:
    """The scores (k,) of each picture, and its map (h, w) of the class it is taken for."""
    methods = [explainer.request] if maps else []
    attribution = attributions(
        model, batch, AttributionRequest(targets=[None], layers=explainer.layers, methods=methods)
    )
    maps_or_none = attribution.maps[0][0][0] if maps else [None] * len(batch)
    return list(zip(attribution.output, maps_or_none, strict=True))


def _row_writer(dataset_pass: DatasetPass, explainer: MethodExplainer) -> Any:
    def describe(one: LoadedImage, answer: tuple[Tensor, Tensor | None]) -> Row:
        logits, found = answer
        logits = logits.float().cpu()
        row = prediction_row(dataset_pass, one, logits)
        truth = row["truth"]
        row["rank"] = None if truth is None else 1 + int((logits > logits[truth]).sum())
        row["logits"] = logits.tolist()
        if found is not None:
            row |= _map_statistics(
                MetricInputs(one.sight(dataset_pass, logits, row["predicted"]), explainer, found.detach())
            )
        return row

    return describe


def _map_statistics(evidence: MetricInputs) -> Row:
    """The statistics of one map; those that cannot be had are left out."""
    row: Row = {}
    for name in ("entropy", "energy"):
        metric = find_metric(name).metric
        if not evidence.first_missing(metric.needs):
            scores = metric(*evidence.arguments(metric.needs))
            row |= {key: score.value for key, score in scores.items() if score.value == score.value}
    return row


def _nan_if_none(value: float | None) -> float:
    return float("nan") if value is None else value
