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
from camlucida.audits.chunk_arrays import Chunk as Chunk
from camlucida.audits.chunk_arrays import check_distinct_layers, scaled_to_half, stacked_arrays
from camlucida.audits.object_region import ObjectRegion
from camlucida.audits.plan import CHANNELS, FEATURES, AuditPlan
from camlucida.audits.rows import image_columns, map_columns, prediction_columns
from camlucida.engine import compared_once
from camlucida.errors import ImageError
from camlucida.evaluation.prediction_rows import batch_rows
from camlucida.evaluation.read_images import LoadedImage, ReadImage, batches_of, read_batches, stacked
from camlucida.evaluation.store import Row
from camlucida.targets import ClassScore


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
    if plan.target is not None:
        from camlucida.audits.targets.chunks import target_chunk

        return target_chunk(plan, indices, batches)
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
    return Chunk(rows, {name: stacked_arrays(values) for name, values in arrays.items()})


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
    arrays |= {name: scaled_to_half(values, labels) for name, values in scaled.items()}
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
        has_label = batch.labels[i] is not None
        columns |= map_columns(image, region, maps[i], has_label, prefix, relu=plan.has_relu(name))
    explained[image.index] = of_image
    return columns
