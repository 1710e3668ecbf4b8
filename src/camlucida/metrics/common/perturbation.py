"""Perturbation of inputs: removing cells or pixels and measuring the drop of the class score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.infill import pixel_remover
from camlucida.tasks import MULTICLASS, OutputActivation


class Predict(Protocol):
    """Computes class scores of modified inputs.

    Called with `variants`, a function from indices `(n,)` to inputs `(n, c, H, W)`, and the number of variants. Returns
    the class scores `(n, k)` of all of them.
    """

    def __call__(self, variants: Callable[[Tensor], Tensor], n: int) -> Tensor: ...


def probability(logits: Tensor, target: int, activation: OutputActivation = MULTICLASS) -> Tensor:
    """Return the target's probability in float64 on the CPU: `(n,)` from logits `(n, k)`, or a scalar from `(k,)`.

    The score itself where the task has no probabilities (regression).
    """
    return activation.measured(logits.detach().cpu().double())[..., target]


def logit(logits: Tensor, target: int) -> Tensor:
    """Return the target's class score in float64 on the CPU, with shapes as for `probability`."""
    return logits.detach().cpu().double()[..., target]


def relevance_and_drops(
    relevance: Tensor,
    inputs: Tensor,
    logits: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    cells: Tensor,
    removed: Tensor,
    infill: str,
    read: Callable[[Tensor, int], Tensor] = logit,
) -> tuple[Tensor, Tensor]:
    """Compute the relevance of sets of cells, and the drop of the class score when each set is removed.

    The positional arguments are those of the metrics: `mu_fidelity`, `sensitivity_n`, `single_deletion`, `saco`.

    Args:
        relevance: `(H, W)` the map at input resolution.
        inputs: `(c, H, W)` the network input.
        logits: `(k,)` class scores of the unmodified input.
        target: The explained class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        predict: Computes class scores of modified inputs.
        random: Generator for the noise of the infill "road".
        cells: `(H, W)` the index of each pixel's cell.
        removed: `(n, cells)` bool: the cells of each set.
        infill: What replaces removed pixels, see `pixel_remover`.
        read: The score that is measured, `logit` or `probability`.

    Returns:
        The relevance of each set `(n,)` and the drops `(n,)`, positive if the score decreases; float64 on the CPU.
    """
    remove = pixel_remover(inputs, infill, pixel_scale=pixel_scale, black_level=black_level, random=random)
    device_cells, device_removed = cells.to(logits.device), removed.to(logits.device)
    scores = predict(lambda indices: remove(device_removed[indices][:, device_cells]), len(removed))
    return removed.double() @ cell_sums(relevance, cells), read(logits, target) - read(scores, target)


def grid_cells(size: Sequence[int], n_cells: int) -> Tensor:
    """Return the index of each pixel's cell, row by row, in a grid of `n_cells` cells along every side.

    Args:
        size: (height, width) of the network input, or (depth, height, width).
        n_cells: Number of cells along a side.

    Raises:
        MetricError: If the grid has fewer than 2 cells per side, or more than pixels.
    """
    if not 1 < n_cells <= min(size):
        raise MetricError(
            f"a network input of {' x '.join(map(str, size))} pixels has no grid of "
            f"{' x '.join([str(n_cells)] * len(size))} cells."
        )
    return number_cells([torch.arange(n) * n_cells // n for n in size])


def number_cells(along: Sequence[Tensor]) -> Tensor:
    """Return the number of each pixel's cell, row by row, from the index of its cell along every axis."""
    numbers = torch.zeros((), dtype=torch.long)
    for axis in along:
        numbers = numbers[..., None] * (int(axis.max()) + 1) + axis
    return numbers


def cell_sums(relevance: Tensor, cells: Tensor) -> Tensor:
    """Return the sum of the relevance in each cell `(cells,)`, float64 on the CPU."""
    cells = cells.cpu().flatten()
    totals = torch.zeros(int(cells.max()) + 1, dtype=torch.float64)
    return totals.index_add(0, cells, relevance.detach().cpu().double().flatten())


def pixel_counts(n_pixels: int, step: int | None, steps: int) -> list[int]:
    """Return the number of changed pixels at each point of a perturbation curve, from none to all.

    Args:
        n_pixels: The number of pixels of the input.
        step: Number of pixels per step; the last step has the remainder. None: `steps` equal parts.
        steps: Number of parts if `step` is None.

    Raises:
        MetricError: If `step`, or the used `steps`, is less than 1.
    """
    if step is None:
        if steps < 1:
            raise MetricError(f"steps is the number of parts of the curve, at least 1, not {steps}.")
        return [round(n_pixels * i / steps) for i in range(steps + 1)]
    if step < 1:
        raise MetricError(f"step is the number of pixels per point of the curve, at least 1, not {step}.")
    return [min(n_pixels, step * i) for i in range(-(-n_pixels // step) + 1)]


def area_under_curve(curve: Tensor) -> float:
    """Compute the area under a curve `(n,)` over [0, 1] with equal steps by the trapezoidal rule."""
    return float((curve.sum() - curve[0] / 2 - curve[-1] / 2) / (len(curve) - 1))
