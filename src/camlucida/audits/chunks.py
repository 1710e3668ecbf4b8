"""The unit of work of an audit: a chunk of images becomes rows, maps and channel relevances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.attribute import Attribution, attributions
from camlucida.attribution.error_context import describe_network_error, raised_by_network
from camlucida.audits.plan import CHANNELS, EXPLAINED_CLASSES, FEATURES, AuditPlan, LayerRun
from camlucida.audits.reading import ReadImage, read_batches
from camlucida.audits.rows import base_row, map_columns, prediction_columns
from camlucida.engine import Layer
from camlucida.errors import CamlucidaError, LayerError
from camlucida.evaluation.store import Row


@dataclass(frozen=True, eq=False)
class Chunk:
    """The result of a chunk of n images.

    Attributes:
        rows: One row per image, in order.
        arrays: By method, the maps `(n, 3, h, w)` of the predicted, competing and true class, divided by the largest
            magnitude in the row's `scale` columns, in float16; NaN where there is none. "channels": the relevance of
            each channel of the layer `(n, 3, c)`, divided by its largest magnitude. "features": the mean activation of
            each channel `(n, c)`.
    """

    rows: list[Row]
    arrays: Mapping[str, NDArray[np.float16]]


@plain_arithmetic()
def process_chunk(plan: AuditPlan, indices: Sequence[int], progress: Callable[[int], None] | None = None) -> Chunk:
    """Predict and explain the images of one chunk.

    The result depends on the plan and the indices only, on whatever machine and in whatever order chunks run. An image
    that cannot be read, or on which the network fails, is a row with the reason.

    Args:
        plan: The plan of the audit.
        indices: Indices of the images in the data set.
        progress: Called after each batch with the number of finished images of the chunk.
    """
    rows: dict[int, Row] = {}
    arrays: dict[str, list[NDArray[np.float16] | None]] = {name: [] for name in plan.array_names}
    for batch in read_batches(plan, indices):
        readable = [image for image in batch if not image.error]
        explained = dict(zip([image.index for image in readable], _explain(plan, readable), strict=True))
        for image in batch:
            row = base_row(plan, image)
            result = explained.get(image.index, image.error)
            if isinstance(result, str):
                row["error"] = result
                result = {}
            else:
                row |= result.pop("row")
            rows[image.index] = row
            for name, values in arrays.items():
                values.append(result.get(name))
        if progress:
            progress(len(rows))
    return Chunk([rows[index] for index in indices], {name: _stacked(values) for name, values in arrays.items()})


def _explain(plan: AuditPlan, images: Sequence[ReadImage]) -> list[dict[str, Any] | str]:
    """Return the row and the arrays of each image, or the reason why the network failed on it.

    If the batch fails, its images are run one at a time, so that only those that cause the failure are lost.
    """
    if not images:
        return []
    try:
        return _explain_batch(plan, images)
    except Exception as error:
        if not isinstance(error, CamlucidaError) and not raised_by_network(error):
            raise
        if len(images) > 1:
            return [result for image in images for result in _explain(plan, [image])]
        return [str(error) if isinstance(error, CamlucidaError) else describe_network_error(error, plan.model)]


def _explain_batch(plan: AuditPlan, images: Sequence[ReadImage]) -> list[dict[str, Any] | str]:
    inputs = torch.stack([image.inputs for image in images if image.inputs is not None])
    labels = [plan.output_of(image.item.label) if image.item else None for image in images]
    true_class = torch.tensor([-1 if label is None else label for label in labels])
    known = true_class >= 0
    targets = ["top2", true_class.clamp_min(0)]
    results = [attributions(plan.model, inputs, run.request(targets)) for run in plan.runs]
    maps = _maps_by_method(plan, results)
    return [
        {
            "row": prediction_columns(plan, image, results[0].output[i].float().cpu(), labels[i])
            | _map_columns(plan, maps, image, i, bool(known[i])),
            **_arrays(plan, results, maps, i, bool(known[i])),
        }
        for i, image in enumerate(images)
    ]


def _maps_by_method(plan: AuditPlan, results: Sequence[Attribution]) -> list[Sequence[Tensor]]:
    """Return the maps of each method of the plan: one tensor `(b, h, w)` per explained class."""
    maps: list[Sequence[Tensor]] = [()] * len(plan.explainers)
    for run, result in zip(plan.runs, results, strict=True):
        check_distinct_layers(run, result)
        for position, m, l in run.cells:
            maps[position] = result.maps[m][l]
    return maps


def check_distinct_layers(run: LayerRun, result: Attribution) -> None:
    """Raise `LayerError` if two layers of a run are the same one, such as layer4 and -1."""
    for layers in result.layers:
        if isinstance(layers[0], Layer) and len(layers) != len(run.layers):
            names = ", ".join("the default layer" if spec is None else str(spec) for spec in run.layers)
            raise LayerError(f"two of the layers {names} are the same one. Name each layer once.")


def _map_columns(plan: AuditPlan, maps: Sequence[Sequence[Tensor]], image: ReadImage, i: int, has_label: bool) -> Row:
    """Return the columns that describe the maps of image i."""
    columns: Row = {}
    for m, name in enumerate(plan.method_names):
        prefix = "" if m == 0 else f"{name}."
        columns |= map_columns(image, [per_class[i].float().cpu() for per_class in maps[m]], has_label, prefix)
    return columns


def _arrays(
    plan: AuditPlan, results: Sequence[Attribution], maps: Sequence[Sequence[Tensor]], i: int, has_label: bool
) -> dict[str, NDArray[np.float16]]:
    """Return the maps `(3, h, w)` of each method, and the channel relevances `(3, c)`, of image i."""
    arrays = {
        name: _scaled(torch.stack([per_class[i] for per_class in maps[m]]), has_label)
        for m, name in enumerate(plan.method_names)
    }
    for run, result in zip(plan.runs, results, strict=True):
        if run.channels and result.channel_relevance:
            relevance = torch.stack([per_class[i] for per_class in result.channel_relevance[0]])
            arrays[CHANNELS] = _scaled(relevance, has_label)
            limit = torch.finfo(torch.half).max
            arrays[FEATURES] = result.channel_means[0][i].detach().cpu().clamp(-limit, limit).half().numpy()
    return arrays


def _scaled(values: Tensor, has_label: bool) -> NDArray[np.float16]:
    """Return values `(3, ...)`, each divided by its largest magnitude, in float16; NaN for the true class without one.

    Half precision has 65,504 as its largest and 6e-8 as its smallest number, which raw maps exceed in both directions.
    """
    flat = values.detach().double().cpu().flatten(1)
    scaled = flat / flat.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    if not has_label:
        scaled[EXPLAINED_CLASSES.index("true")] = torch.nan
    half: NDArray[np.float16] = scaled.reshape(values.shape).half().numpy()
    return half


def _stacked(values: Sequence[NDArray[np.float16] | None]) -> NDArray[np.float16]:
    """Return the arrays of all images, NaN for those without; empty if no image has one."""
    shape = next((value.shape for value in values if value is not None), (0,))
    missing = np.full(shape, np.nan, dtype=np.float16)
    return np.stack([missing if value is None else value for value in values])
