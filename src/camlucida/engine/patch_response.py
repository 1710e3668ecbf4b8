"""Where a network responds to a patch of noise that moves over the image, and whether a layout agrees with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from camlucida.engine.call_profile import ModuleCall, main_tensor
from camlucida.engine.image_axes import image_axes
from camlucida.engine.layer_checks import LayoutCheck
from camlucida.engine.layout import Layout
from camlucida.engine.moving_patch import PATCH_FRACTION, NoiseImage
from camlucida.engine.network_copy import NetworkCopy

MAX_ERROR = 0.14
"""Largest mean error of the centroid, in fractions of the image's sides, of a layout that counts as verified."""

MAX_SPREAD = 0.26
"""Largest spread of the response, in the same unit, of a layout that counts as verified."""

MIN_CORRELATION = 0.9
"""Smallest correlation of the centroid with the patch, on each axis, of a layout that counts as verified."""

MAX_LOCAL_FRACTION = 0.3
"""Largest fraction of cells that share in a response (participation ratio) that counts as local."""

N_CHANNELS = 16
"""Number of channels that are compared, evenly spaced: the response is a sum over them."""

MAX_GRID_SIDE = 64
"""Largest side of the grids, in cells, on which the response is measured."""

Responses: TypeAlias = dict[str, Tensor]
"""The squared change of an output for every patch, summed over the axis "last" or "second" that holds the channels."""


def compare_responses(layout: Layout, responses: Responses, patches: Tensor) -> LayoutCheck:
    """Compare the responses, read with a layout, with the positions of the patches (n, 2)."""
    response = responses["second" if layout.kind == "nchw" else "last"]
    change = torch.cat([layout.to_grid(of_patch) for of_patch in response])[:, 0].double()
    if layout.frames:  # the patch lies in every frame
        change = change.mean(1)
    grid = change.shape[1:]
    mean = change.mean(0)
    relative = torch.where(mean > 0, change / mean.clamp_min(torch.finfo(change.dtype).tiny), 0)
    weights = relative.pow(4)
    totals = weights.flatten(1).sum(1)
    if not bool((totals > 0).all()):
        return LayoutCheck("not local", float("nan"), float("nan"), float("nan"), layout)
    weights = weights.flatten(1) / totals[:, None]
    sides = [(torch.arange(n, dtype=change.dtype) + 0.5) / n for n in grid]
    positions = torch.stack(torch.meshgrid(*sides, indexing="ij")).flatten(1)  # (axes, cells)
    centroids = weights @ positions.T
    # An axis of one cell has no position, so that only the others are compared.
    axes = [axis for axis, n in enumerate(grid) if n > 1]
    expected = torch.stack([_cell_position(patches[:, axis], n) for axis, n in enumerate(grid)], 1)
    error = float((centroids - expected).square().sum(1).sqrt().mean())
    squared = (positions - centroids[:, :, None]).square().sum(1)
    spread = float((weights * squared).sum(1).sqrt().mean())
    correlation = min(_correlation(centroids[:, axis], expected[:, axis]) for axis in axes)
    participation = relative.flatten(1).sum(1).square() / (grid.numel() * relative.flatten(1).square().sum(1))
    if error <= MAX_ERROR and spread <= MAX_SPREAD and correlation >= MIN_CORRELATION:
        return LayoutCheck("verified", correlation, error, spread, layout)
    is_local = float(participation.mean()) <= MAX_LOCAL_FRACTION
    return LayoutCheck("contradicted" if is_local else "not local", correlation, error, spread, layout)


def _cell_position(centres: Tensor, n_cells: int) -> Tensor:
    """Return the mean position of the cells that patches cover, along one axis: coarse grids see no finer position."""
    low = torch.arange(n_cells, dtype=centres.dtype) / n_cells
    high = low + 1 / n_cells
    first, last = (centres - PATCH_FRACTION / 2)[:, None], (centres + PATCH_FRACTION / 2)[:, None]
    overlap = (torch.minimum(high, last) - torch.maximum(low, first)).clamp_min(0)
    return (overlap * (low + high) / 2).sum(1) / overlap.sum(1)


def _correlation(first: Tensor, second: Tensor) -> float:
    """Return the Pearson correlation of two vectors, NaN where one of them is constant."""
    a, b = first - first.mean(), second - second.mean()
    norm = float(a.norm() * b.norm())
    return float((a * b).sum()) / norm if norm else float("nan")


def measure_responses(
    copy: NetworkCopy, inputs: Any, module_calls: Sequence[ModuleCall], key: str | None = None
) -> tuple[Tensor, dict[int, Responses]]:
    """Run the network on a noise image and on eight with a patch of other noise.

    Returns:
        The centres of the patches (8, 2), as (y, x) in fractions of the image's sides, and the responses of the calls
        by position. Calls that return another shape for these images are missing.
    """
    noise = NoiseImage(inputs, image_axes(copy, inputs))
    samples: dict[int, dict[str, Tensor]] = {}
    changes: dict[int, list[Responses]] = {module_call.position: [] for module_call in module_calls}

    def keep(module_call: ModuleCall, tensor: Tensor) -> None:
        samples[module_call.position] = {name: part.clone() for name, _, part in channel_samples(tensor)}

    def compare(module_call: ModuleCall, tensor: Tensor) -> None:
        before = samples.get(module_call.position)
        if before is not None:
            changes[module_call.position].append(
                {
                    name: (part - before[name]).square().sum(axis, keepdim=True).cpu()
                    for name, axis, part in channel_samples(tensor)
                }
            )

    with torch.inference_mode(False), torch.no_grad():
        copy.run(_CallReader(module_calls, keep, key), noise.plain())
        for patch in noise.patches:
            copy.run(_CallReader(module_calls, compare, key), noise.with_patch(patch))
    responses = {
        position: {axis: torch.stack([response[axis] for response in of_patches]) for axis in of_patches[0]}
        for position, of_patches in changes.items()
        if len(of_patches) == len(noise.patches)
    }
    return torch.tensor([patch.centre for patch in noise.patches], dtype=torch.float64), responses


@dataclass
class _CallReader:
    """A call observer that calls `read(module_call, tensor)` for the main output, or the part `key`, of some calls."""

    module_calls: Sequence[ModuleCall]
    read: Callable[[ModuleCall, Tensor], None]
    key: str | None = None
    _counts: Counter[nn.Module] = field(default_factory=Counter)

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        self._counts[module] += 1
        for module_call in self.module_calls:
            if module_call.module is module and module_call.call == self._counts[module]:
                tensor = main_tensor(output, self.key)
                if tensor is not None and tuple(tensor.shape) == module_call.shape:
                    self.read(module_call, tensor.detach())
        return output


def channel_samples(tensor: Tensor) -> Iterator[tuple[str, int, Tensor]]:
    """Yield (name, axis, part) for each axis that may hold the channels, with at most `N_CHANNELS` of them.

    The grids of outputs with four axes are thinned to at most `MAX_GRID_SIDE` cells on each side.
    """
    axes = {"last": tensor.ndim - 1} | ({"second": 1} if tensor.ndim >= 4 else {})
    for name, axis in axes.items():
        part = tensor.movedim(axis, 0)[:: -(-tensor.shape[axis] // N_CHANNELS)].movedim(0, axis)
        for side in set(range(1, tensor.ndim)) - {axis} if tensor.ndim >= 4 else ():
            step = -(-part.shape[side] // MAX_GRID_SIDE)
            part = part.movedim(side, 0)[step // 2 :: step].movedim(0, side)
        yield name, axis, part.float()
