"""Predictions of a model on samples: computed in batches and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from camlucida.analysis.dataset_pass import BATCH_SIZE, DatasetPass, make_rows, prediction_row
from camlucida.app.model_entry import SamplePrediction, Served
from camlucida.attribution.outputs import class_scores, to_network
from camlucida.engine import copy_of


def said(served: Served, indices: Sequence[int]) -> Iterator[tuple[int, SamplePrediction]]:
    """Yield the index and prediction of each sample in order; missing predictions are computed in batches."""
    for start in range(0, len(indices), BATCH_SIZE):
        part = indices[start : start + BATCH_SIZE]
        if unknown := [index for index in part if index not in served.said]:
            served.said.update(_asked(served, unknown))
        yield from ((index, served.said[index]) for index in part)


def _asked(served: Served, indices: Sequence[int]) -> dict[int, SamplePrediction]:
    model = served.model
    run = DatasetPass(model, served.data, indices, served.outputs)

    def ask(batch: Tensor) -> Sequence[Tensor]:
        with torch.inference_mode(False), torch.no_grad():
            output = copy_of(model.network).module(to_network(model.network, batch))
            return list(class_scores(output, model.output).cpu())

    prediction_rows = make_rows(run, indices, ask, lambda one, logits: prediction_row(run, one, logits))
    return {row["index"]: _read(row) for row in prediction_rows}


def _read(row: dict[str, Any]) -> SamplePrediction:
    if error := row.get("error"):
        return SamplePrediction(error=error)
    return SamplePrediction(row["said"], row["confidence"], row["correct"])
