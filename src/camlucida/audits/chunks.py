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
from camlucida.attribution.attributions import Attribution, attributions
from camlucida.audits.object_region import ObjectRegion
from camlucida.audits.plan import CHANNELS, EXPLAINED_CLASSES, FEATURES, AuditPlan, LayerRun
from camlucida.audits.rows import image_columns, map_columns, prediction_columns
from camlucida.engine import Layer, compared_once
from camlucida.errors import ImageError, LayerError
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
@compared_once()
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
    shapes: dict[str, torch.Size] = {}
    for batch in read_batches(plan, batches_of(indices, plan.batch_size)) if batches is None else batches:
        explained: dict[int, _Explained] = {}
        of_batch = batch_rows(plan, batch, partial(_explain, plan), partial(_columns, plan, explained, shapes))
        for image, row in zip(batch, of_batch, strict=True):
            rows.append(image_columns(plan, image) | row)
            of_image = None if row.get("error") else explained[image.index]
            for name, values in arrays.items():
                values.append(None if of_image is None else of_image.array(name))
    return Chunk(rows, {name: _stacked(values) for name, values in arrays.items()})


@dataclass(frozen=True, eq=False)
class _Batch:
    """What was computed of a batch of b images.

    Attributes:
        output: Class scores `(b, k)`.
        predicted: The predicted class of each image.
        competing: The class with the next highest score; the predicted one if there is no other.
        labels: The true class of each image, as an output of the model; None if it is unknown.
        maps: By method, the maps `(b, 3, h, w)` of the predicted, the competing and the true class.
        arrays: As of `Chunk`.
    """

    output: Tensor
    predicted: list[int]
    competing: list[int]
    labels: list[int | None]
    maps: Mapping[str, Tensor]
    arrays: Mapping[str, NDArray[np.float16]]


@dataclass(frozen=True, eq=False)
class _Explained:
    """Image `i` of an explained batch."""

    batch: _Batch
    i: int

    def array(self, name: str) -> NDArray[np.float16] | None:
        """Return an array of this image; None if there is none."""
        return self.batch.arrays[name][self.i] if name in self.batch.arrays else None


def _explain(plan: AuditPlan, images: Sequence[LoadedImage]) -> list[_Explained]:
    """Explain the predicted, the competing and the true class of a batch."""
    labels = [plan.output_of(image.item.label) for image in images]
    true_class = torch.tensor([0 if label is None else label for label in labels])
    inputs, model = stacked(images), images[0].model_of(plan)
    results = [attributions(model, inputs, run.request(["top2", true_class])) for run in plan.runs]
    result = results[0]
    of_classes = [0, 0, 1] if len(result.targets) == 2 else [0, 1, 2]  # a network with one output has no other class
    maps = {
        name: torch.stack([of_method[t].float().cpu() for t in of_classes], 1)
        for name, of_method in zip(plan.method_names, _maps_by_method(plan, results), strict=True)
    }
    scaled = dict(maps)
    arrays: dict[str, NDArray[np.float16]] = {}
    for run, of_run in zip(plan.runs, results, strict=True):
        if run.channels and of_run.channel_relevance:
            scaled[CHANNELS] = torch.stack([of_run.channel_relevance[0][t].float().cpu() for t in of_classes], 1)
            limit = torch.finfo(torch.half).max
            arrays[FEATURES] = of_run.channel_means[0].detach().cpu().clamp(-limit, limit).half().numpy()
    arrays |= {name: _scaled(values, labels) for name, values in scaled.items()}
    predicted, competing = (_classes_of(result, t) for t in of_classes[:2])
    batch = _Batch(result.output.float().cpu(), predicted, competing, labels, maps, arrays)
    return [_Explained(batch, i) for i in range(len(images))]


def _maps_by_method(plan: AuditPlan, results: Sequence[Attribution]) -> list[Sequence[Tensor]]:
    """Return the maps of each method of the plan: one tensor `(b, h, w)` per target."""
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


def _classes_of(result: Attribution, t: int) -> list[int]:
    """Return the class that target t is for each image."""
    target, n = result.targets[t], len(result.output)
    assert isinstance(target, ClassScore)
    return [target.index] * n if isinstance(target.index, int) else [int(index) for index in target.index]


def _columns(
    plan: AuditPlan,
    explained: dict[int, _Explained],
    shapes: dict[str, torch.Size],
    image: LoadedImage,
    of_image: _Explained,
) -> Row:
    """Return the columns of one image, and keep its arrays in `explained`.

    Raises:
        ImageError: If its maps have another size than those of the first image of the chunk, which `shapes` holds.
    """
    batch, i = of_image.batch, of_image.i
    for name, maps in batch.maps.items():
        if (expected := shapes.setdefault(name, maps.shape[2:])) != maps.shape[2:]:
            sizes = ["×".join(map(str, shape)) for shape in (maps.shape[2:], expected)]
            raise ImageError(
                f"the network input is {'×'.join(map(str, image.inputs.shape))} and its map {sizes[0]}, where other "
                f"images have maps of {sizes[1]}, and an audit stores maps of one size. Give all images one size."
            )
    columns = prediction_columns(plan, image, batch.output[i], batch.predicted[i], batch.competing[i])
    region = ObjectRegion.of(image.item, image.geometry.original)
    for m, (name, maps) in enumerate(batch.maps.items()):
        prefix = "" if m == 0 else f"{name}."
        columns |= map_columns(image, region, maps[i], batch.labels[i] is not None, prefix)
    explained[image.index] = of_image
    return columns


def _scaled(values: Tensor, labels: Sequence[int | None]) -> NDArray[np.float16]:
    """Return values `(b, 3, ...)`, each divided by its largest magnitude, in float16; NaN for unknown true classes.

    Half precision has 65,504 as its largest and 6e-8 as its smallest number, which raw maps exceed in both directions.
    """
    flat = values.detach().double().flatten(2)
    scaled = flat / flat.abs().amax(2, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    scaled[[label is None for label in labels], EXPLAINED_CLASSES.index("true")] = torch.nan
    half: NDArray[np.float16] = scaled.reshape(values.shape).half().numpy()
    return half


def _stacked(values: Sequence[NDArray[np.float16] | None]) -> NDArray[np.float16]:
    """Return the arrays of all images, NaN for those without; empty if no image has one."""
    shape = next((value.shape for value in values if value is not None), (0,))
    missing = np.full(shape, np.nan, dtype=np.float16)
    return np.stack([missing if value is None else value for value in values])
