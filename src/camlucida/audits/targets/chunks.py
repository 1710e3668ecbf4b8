"""A chunk of images as rows of their targets: one row for each box, region or word, and for each missed object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida.audits.chunk_arrays import Chunk, scaled_to_half, stacked_arrays
from camlucida.audits.plan import CHANNELS, FEATURES, AuditPlan
from camlucida.audits.rows import image_columns
from camlucida.audits.targets.binding import TargetRow, rows_of
from camlucida.audits.targets.explain import ExplainedTarget, TargetExplainer
from camlucida.audits.targets.rows import explained_columns, target_columns
from camlucida.errors import CamlucidaError, ImageError
from camlucida.evaluation.prediction_rows import base_row, run_each
from camlucida.evaluation.read_images import LoadedImage, ReadImage, UnreadableImage, batches_of, read_batches
from camlucida.evaluation.store import Row

_Arrays = dict[str, NDArray[np.float16]]


@dataclass(frozen=True, eq=False)
class _Explained:
    """The rows of one image, each with what was computed of it: None without a target, a text if it failed."""

    rows: Sequence[TargetRow]
    results: Sequence[ExplainedTarget | str | None]


def target_chunk(
    plan: AuditPlan, indices: Sequence[int], batches: Iterable[Sequence[ReadImage]] | None = None
) -> Chunk:
    """Return the rows and arrays of the images of one chunk, several for each image; see `process_chunk`.

    An image that cannot be read, or on which the network fails, is one row with the reason.
    """
    explainer = TargetExplainer(plan)
    rows: list[Row] = []
    arrays: dict[str, list[NDArray[np.float16] | None]] = {name: [] for name in plan.array_names}
    shapes: dict[str, torch.Size] = {}
    for batch in read_batches(plan, batches_of(indices, plan.batch_size)) if batches is None else batches:
        for image in batch:
            for row, of_row in _image_rows(plan, explainer, image, shapes):
                rows.append(row)
                for name, values in arrays.items():
                    values.append(of_row.get(name))
    return Chunk(rows, {name: stacked_arrays(values) for name, values in arrays.items()})


def _image_rows(
    plan: AuditPlan, explainer: TargetExplainer, image: ReadImage, shapes: dict[str, torch.Size]
) -> list[tuple[Row, _Arrays]]:
    """Return the rows of one image with their arrays."""
    known = image_columns(plan, image) | base_row(plan, image)
    if isinstance(image, UnreadableImage):
        return [(known | {"error": image.error}, {})]
    explained = run_each(plan, image, partial(_explain, plan, explainer))
    if isinstance(explained, str):
        return [(known | {"error": explained}, {})]
    return [
        _row(plan, image, known, row, result, shapes)
        for row, result in zip(explained.rows, explained.results, strict=True)
    ]


def _explain(plan: AuditPlan, explainer: TargetExplainer, image: LoadedImage) -> _Explained:
    rows = rows_of(plan, image)
    bound = [(row.bound, row.label_index) for row in rows if row.bound is not None]
    results = iter(explainer.explain(image.inputs, [each for each, _ in bound], [label for _, label in bound]))
    return _Explained(rows, [None if row.bound is None else next(results) for row in rows])


def _row(
    plan: AuditPlan,
    image: LoadedImage,
    known: Row,
    row: TargetRow,
    result: ExplainedTarget | str | None,
    shapes: dict[str, torch.Size],
) -> tuple[Row, _Arrays]:
    """Return one row with its arrays; a target that cannot be explained is a row with the reason."""
    columns = known | target_columns(plan, image, row)
    if result is None:
        return columns, {}
    if isinstance(result, str):
        return columns | {"error": result}, {}
    try:
        columns |= explained_columns(plan, image, row, result)
        for name, maps in result.maps.items():
            if (expected := shapes.setdefault(name, maps.shape)) != maps.shape:
                sizes = ["×".join(map(str, shape[1:])) for shape in (maps.shape, expected)]
                raise ImageError(
                    f"its map has the size {sizes[0]}, where others have maps of {sizes[1]}, and an audit stores maps "
                    "of one size. Give all images one size, or name a layer."
                )
    except CamlucidaError as error:
        return known | target_columns(plan, image, row) | {"error": str(error)}, {}
    return columns, _arrays(result, row.label_index)


def _arrays(result: ExplainedTarget, label: int | None) -> _Arrays:
    arrays = {name: _half(maps, label) for name, maps in result.maps.items()}
    if result.channels is not None and result.means is not None:
        limit = torch.finfo(torch.half).max
        arrays |= {CHANNELS: _half(result.channels, label)}
        arrays |= {FEATURES: result.means.clamp(-limit, limit).half().numpy()}
    return arrays


def _half(values: Tensor, label: int | None) -> NDArray[np.float16]:
    half: NDArray[np.float16] = scaled_to_half(values[None], [label])[0]
    return half
