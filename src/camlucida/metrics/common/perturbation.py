"""Taking parts of a picture away and asking the network again: steps, cells, what they fall by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.infill import RemovePixels


class Predict(Protocol):
    """Class scores (count, k) of other pictures: numbers (n,) in, pictures (n, c, H, W) out."""

    def __call__(self, variants: Callable[[Tensor], Tensor], n: int) -> Tensor: ...


def probability(logits: Tensor, target: int) -> Tensor:
    """Of the target, in float64 on the processor: (n,) of (n, k), or one number of (k,)."""
    return logits.detach().cpu().double().softmax(-1)[..., target]


def logit(logits: Tensor, target: int) -> Tensor:
    """As `probability`, the class score itself."""
    return logits.detach().cpu().double()[..., target]


def score_drops(
    predict: Predict,
    remove: RemovePixels,
    logits: Tensor,
    target: int,
    cells: Tensor,
    removed: Tensor,
    *,
    read: Callable[[Tensor, int], Tensor] = logit,
) -> Tensor:
    """Return how far the score of a class falls without sets of cells.

    Args:
        predict: Class scores of other images.
        without: How the image loses pixels.
        logits: `(k,)` class scores of the unmodified image.
        target: The class.
        cells: `(H, W)` the number of each pixel's cell.
        removed: `(n, cells)` bool: the cells of each set.
        read: What counts as the score, `logit` or `probability`.

    Returns:
        The drops `(n,)`, float64 on the CPU; positive where the class loses.
    """
    cells, removed = cells.to(logits.device), removed.to(logits.device)
    scores = predict(lambda indices: remove(removed[indices][:, cells]), len(removed))
    return read(logits, target) - read(scores, target)


def grid_cells(size: Sequence[int], n_cells: int) -> Tensor:
    """The number (H, W) of the cell of each pixel, row by row, with `across` cells on each side."""
    if not 1 < n_cells <= min(size):
        raise MetricError(f"a picture of {size[0]} x {size[1]} pixels has no grid of {n_cells} x {n_cells} cells.")
    y, x = (torch.arange(n) * n_cells // n for n in size)
    return y[:, None] * n_cells + x


def cell_sums(relevance: Tensor, cells: Tensor) -> Tensor:
    """The relevance (cells,) of each cell, float64 on the processor."""
    cells = cells.cpu().flatten()
    totals = torch.zeros(int(cells.max()) + 1, dtype=torch.float64)
    return totals.index_add(0, cells, relevance.detach().cpu().double().flatten())


def pixel_counts(n_pixels: int, step: int | None, steps: int) -> list[int]:
    """How many pixels are gone at each point of a curve: none first, all last.

    step    so many more at each point, and at the last what is left; None: in `steps` equal parts
    """
    if step is None:
        if steps < 1:
            raise MetricError(f"steps is how many parts a curve has, at least 1, not {steps}.")
        return [round(n_pixels * i / steps) for i in range(steps + 1)]
    if step < 1:
        raise MetricError(f"step is how many pixels go at once, at least 1, not {step}.")
    return [min(n_pixels, step * i) for i in range(-(-n_pixels // step) + 1)]


def area_under_curve(curve: Tensor) -> float:
    """Under a curve (n,) from 0 to 1, all of its steps as wide as each other: trapezoids."""
    return float((curve.sum() - curve[0] / 2 - curve[-1] / 2) / (len(curve) - 1))
