"""The unit of work of an audit: a chunk of images becomes rows, maps and channel relevances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.attribute import Attribution, attributions
from camlucida.audits.plan import CHANNELS, EXPLAINED_CLASSES, FEATURES, AuditPlan, LayerRun
from camlucida.audits.rows import image_columns, map_columns, prediction_columns
from camlucida.engine import Layer
from camlucida.errors import LayerError
from camlucida.evaluation.prediction_rows import batch_rows
from camlucida.evaluation.read_images import LoadedImage, ReadImage, batches_of, read_batches, stacked
from camlucida.evaluation.store import Row
from camlucida.targets import ClassScore


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
def process_chunk(
    plan: AuditPlan, indices: Sequence[int], batches: Iterable[Sequence[ReadImage]] | None = None
) -> Chunk:
    """Predict and explain the images of one chunk.

    The result depends on the plan and the indices only, on whatever machine and in whatever order chunks run. An image
    that cannot be read, or on which the network fails, is a row with the reason, and changes nothing in other rows.

    Args:
        plan: The plan of the audit.
        indices: Indices of the images in the data set.
        batches: These images in batches of the plan's size, if they are read elsewhere.
    """
    rows: list[Row] = []
    arrays: dict[str, list[NDArray[np.float16] | None]] = {name: [] for name in plan.array_names}
    for batch in read_batches(plan, batches_of(indices, plan.batch_size)) if batches is None else batches:
        explained: dict[int, dict[str, NDArray[np.float16]]] = {}
        of_batch = batch_rows(plan, batch, partial(_explain, plan), partial(_columns, plan, explained))
        for image, row in zip(batch, of_batch, strict=True):
            rows.append(image_columns(plan, image) | row)
            found = {} if row.get("error") else explained[image.index]
            for name, values in arrays.items():
                values.append(found.get(name))
    return Chunk(rows, {name: _stacked(values) for name, values in arrays.items()})


@dataclass(frozen=True, eq=False)
class _Explained:
    """Image `i` of an explained batch: the results of the plan's runs, and the maps of each method by class."""

    results: Sequence[Attribution]
    maps: Sequence[Sequence[Tensor]]
    i: int
    label: int | None


def _explain(plan: AuditPlan, images: Sequence[LoadedImage]) -> list[_Explained]:
    """Explain the predicted, the competing and the true class of a batch."""
    labels = [plan.output_of(image.item.label) for image in images]
    true_class = torch.tensor([0 if label is None else label for label in labels])
    inputs = stacked(images)
    results = [attributions(plan.model, inputs, run.request(["top2", true_class])) for run in plan.runs]
    maps = _maps_by_method(plan, results)
    return [_Explained(results, maps, i, label) for i, label in enumerate(labels)]


def _columns(
    plan: AuditPlan,
    arrays: dict[int, dict[str, NDArray[np.float16]]],
    image: LoadedImage,
    explained: _Explained,
) -> Row:
    """Return the columns of one image, and add its arrays to those of the batch."""
    results, maps, i, has_label = explained.results, explained.maps, explained.i, explained.label is not None
    predicted, competing = (_class_of(results[0], t, i) for t in (0, 1))
    columns = prediction_columns(plan, image, results[0].output[i].float().cpu(), predicted, competing)
    columns |= _map_columns(plan, maps, image, i, has_label)
    arrays[image.index] = _arrays(plan, results, maps, i, has_label)
    return columns


def _class_of(result: Attribution, t: int, i: int) -> int:
    """Return the class that target t is for image i."""
    target = result.targets[t]
    assert isinstance(target, ClassScore)
    return target.index if isinstance(target.index, int) else int(target.index[i])


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


def _map_columns(plan: AuditPlan, maps: Sequence[Sequence[Tensor]], image: LoadedImage, i: int, has_label: bool) -> Row:
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
