"""Noisy linear imputation of ROAD: a missing pixel is the weighted mean of its eight neighbours.

Neighbours may be missing too, so that the missing pixels of an image form one sparse linear system. It is symmetric
and positive definite, and solved exactly. Pixels are eliminated by nested dissection of the image (George, 1973), so
that the order needs no search and is shared by all systems of one image size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida._optional import need
from camlucida.errors import MetricError

SIDE_WEIGHT, CORNER_WEIGHT = 1 / 6, 1 / 12
NEIGHBOURS = tuple(
    (dy, dx, CORNER_WEIGHT if dy and dx else SIDE_WEIGHT) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx
)
"""The eight neighbours: rows down, columns right, weight."""

MAX_LEAF_PIXELS = 4
"""Blocks of at most this many pixels are not divided further. Measured: 4 and 16 take the same time."""

Indices = NDArray[np.int64]


def impute(inputs: Tensor, missing: Tensor) -> Tensor:
    """Replace the missing pixels of an image, without adding noise.

    Args:
        inputs: `(c, H, W)` the image.
        missing: `(n, H, W)` bool masks of missing pixels.

    Returns:
        The images `(n, c, H, W)` with missing pixels replaced.

    Raises:
        MetricError: If all pixels of a mask are missing.
    """
    if bool(missing.flatten(1).all(1).any()):
        raise MetricError("all pixels are removed, so that none is left to impute from. Remove fewer.")
    grid = _elimination_grid(*(int(n) for n in inputs.shape[1:]))
    colours = inputs.detach().cpu().double().flatten(1).T.numpy()
    solutions = [_solve(grid, colours, mask) for mask in missing.cpu().flatten(1).numpy()]
    images = torch.from_numpy(np.stack(solutions)).transpose(1, 2).to(inputs).reshape(-1, *inputs.shape)
    return torch.where(missing[:, None], images, inputs)


@dataclass(frozen=True)
class Grid:
    """The part of the linear systems that all images of one size share.

    Attributes:
        order: `(H W,)` the order in which pixels are eliminated.
        neighbours: `(8, H W)` the neighbours of each pixel; `H W` for positions beyond the border.
        weights: `(8,)` the weights of the neighbours.
    """

    order: Indices
    neighbours: Indices
    weights: NDArray[np.float64]


@lru_cache(maxsize=4)
def _elimination_grid(height: int, width: int) -> Grid:
    numbers = np.full((height + 2, width + 2), height * width)
    numbers[1:-1, 1:-1] = np.arange(height * width).reshape(height, width)
    neighbours = [numbers[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width].ravel() for dy, dx, _ in NEIGHBOURS]
    order = np.concatenate(_nested_dissection(numbers[1:-1, 1:-1]))
    return Grid(order, np.stack(neighbours), np.array([weight for _, _, weight in NEIGHBOURS]))


def _nested_dissection(block: Indices) -> list[Indices]:
    """Return the elimination order: both halves first, then the line that separates them."""
    if block.size <= MAX_LEAF_PIXELS:
        return [block.ravel()]
    if block.shape[1] < block.shape[0]:
        block = block.T
    middle = block.shape[1] // 2
    return [*_nested_dissection(block[:, :middle]), *_nested_dissection(block[:, middle + 1 :]), block[:, middle]]


def _solve(grid: Grid, colours: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the colours `(H W, c)` with the missing pixels replaced."""
    if not missing.any():
        return colours
    purpose = "imputation as ROAD has it"
    sparse = need("scipy.sparse", extra="analysis", what=purpose)
    linalg = need("scipy.sparse.linalg", extra="analysis", what=purpose)
    pixels = grid.order[missing[grid.order]]
    border, n_missing = len(missing), len(pixels)
    unknown_index = np.full(border + 1, -1)
    unknown_index[pixels] = np.arange(n_missing)
    neighbours = grid.neighbours[:, pixels]
    weights = np.where(neighbours < border, grid.weights[:, None], 0)
    known = np.vstack([np.where(missing[:, None], 0, colours), np.zeros(colours.shape[1])])
    right_hand_side = sum(weights[k][:, None] * known[neighbours[k]] for k in range(len(neighbours)))
    directions, rows = np.nonzero(unknown_index[neighbours] >= 0)
    diagonal = np.arange(n_missing)
    values = np.concatenate([weights.sum(0), -weights[directions, rows]])
    coordinates = (
        np.concatenate([diagonal, rows]),
        np.concatenate([diagonal, unknown_index[neighbours[directions, rows]]]),
    )
    system = sparse.csc_matrix((values, coordinates), shape=(n_missing, n_missing))
    factors = linalg.splu(system, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solution = colours.copy()
    solution[pixels] = factors.solve(right_hand_side)
    return solution
