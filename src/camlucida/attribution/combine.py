"""Maps of combined methods: what each kind of combinator runs, and how it combines the maps of its inner method."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from camlucida.attribution.competing_classes import competing_classes
from camlucida.attribution.image_argument import image_of
from camlucida.engine.image_axes import image_axes
from camlucida.methods import Combined, Method

if TYPE_CHECKING:
    from camlucida.attribution.executor import AttributionRun


def _part(run: AttributionRun, combined: Combined, layer_indices: Sequence[int]) -> list[list[Tensor]]:
    return [[combined.combinator.function(map_) for map_ in row] for row in run.inner_maps(combined, layer_indices)]


def _layer(run: AttributionRun, combined: Combined, layer_indices: Sequence[int]) -> list[list[Tensor]]:
    """Apply the combinator to the maps of each layer, together with the layer's activations."""
    rows, function = run.inner_maps(combined, layer_indices), combined.combinator.function
    layer_activations = [run.trace.layers[l].activations for l in layer_indices]
    return [
        function(row, activations, **combined.settings)
        for row, activations in zip(rows, layer_activations, strict=True)
    ]


def _competing_classes(run: AttributionRun, combined: Combined, layer_indices: Sequence[int]) -> list[list[Tensor]]:
    """Compare each target's map with those of its competing classes, which come from one further run."""
    competitors = [competing_classes(target, run.output, combined.settings["n"], "best") for target in run.targets]
    rows = run.inner_maps(combined, layer_indices)
    competitor_rows = run.with_targets([other for row in competitors for other in row]).inner_maps(
        combined, layer_indices
    )
    sizes, function = [len(row) for row in competitors], combined.combinator.function
    return [
        [
            function(map_, others, **combined.settings)
            for map_, others in zip(row, _split(other_row, sizes), strict=True)
        ]
        for row, other_row in zip(rows, competitor_rows, strict=True)
    ]


def _split(items: list[Tensor], sizes: Sequence[int]) -> list[list[Tensor]]:
    ends = list(itertools.accumulate(sizes))
    return [items[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _fusion(run: AttributionRun, combined: Combined, layer_indices: Sequence[int]) -> list[list[Tensor]]:
    """Fuse the maps of all layers for each target."""
    rows = run.inner_maps(combined, layer_indices)
    return [[combined.combinator.function(list(maps), **combined.settings) for maps in zip(*rows, strict=True)]]


def _views(run: AttributionRun, combined: Combined, layer_indices: Sequence[int]) -> list[list[Tensor]]:
    """Average the maps over the views that cover a position, on the method's grid for the unmodified input."""
    axes = image_axes(run.request.copy, run.inputs)
    image = axes.to_grid(image_of(run.inputs))
    sizes = _sizes(run, image, combined.inner, layer_indices)
    total = [[torch.zeros((), dtype=torch.float32)] * len(run.targets) for _ in sizes]
    counts = [torch.zeros((), dtype=torch.float32)] * len(sizes)
    views, progress = combined.combinator.function(image, **combined.settings), run.request.forwarded_progress
    for done, (images, undo) in enumerate(views, start=1):
        with progress.muting():
            rows = run.rerun_on(axes.from_grid(images), combined.combinator.name).inner_maps(combined, layer_indices)
        for i, (row, size) in enumerate(zip(rows, sizes, strict=True)):
            restored = [undo(map_, size) for map_ in row]
            total[i] = [sum_ + map_.nan_to_num() for sum_, map_ in zip(total[i], restored, strict=True)]
            counts[i] = counts[i] + (~restored[0].isnan()).to(restored[0])
        progress(done, len(views))
    return [[sum_ / count for sum_ in row] for row, count in zip(total, counts, strict=True)]


def _sizes(
    run: AttributionRun, image: Tensor, method: Method | Combined, layer_indices: Sequence[int]
) -> list[tuple[int, ...]]:
    """Return the sizes of the maps that a method computes for the unmodified image `(b, c, *grid)`."""
    if method.map_size == "input":
        n_maps = len(layer_indices) if method.needs_layer and not method.fuses_layers else 1
        return [tuple(int(side) for side in image.shape[2:])] * n_maps
    sizes = [tuple(int(side) for side in run.trace.layers[l].activations.shape[2:]) for l in layer_indices]
    return [max(sizes, key=math.prod)] if method.fuses_layers else sizes


Combine: TypeAlias = Callable[["AttributionRun", Combined, Sequence[int]], list[list[Tensor]]]
"""Computes the maps of a combined method at the layers with given indices: one row per layer, one map per target."""

COMBINE: dict[str, Combine] = {
    "part": _part,
    "layer": _layer,
    "fusion": _fusion,
    "views": _views,
    "competing_classes": _competing_classes,
}
"""The functions by kind of combinator."""
