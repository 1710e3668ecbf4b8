"""Masks of the network input: sliding windows, and the random soft masks of RISE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from camlucida.errors import MethodError
from camlucida.seeds import generator


def to_pixels(value: float, side: int) -> int:
    """Convert a length to pixels, at most `side`: a value below 1 is a fraction of `side`, others are pixels."""
    return min(side, max(1, round(value * side if value < 1 else value)))


def window_starts(length: int, side: int, step: int) -> Tensor:
    """Return the starts of windows of `side` pixels along `length` pixels; the last window is flush with the end.

    Raises:
        MethodError: The step is larger than a window, which would leave gaps.
    """
    if step > side:
        raise MethodError(f"a stride of {step} pixels leaves gaps between windows of {side}. Choose a smaller stride.")
    return torch.tensor([*range(0, length - side, step), length - side])


def boxes(corners: Tensor, sides: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Return which pixels lie in each of n boxes.

    Args:
        corners: First pixel of each box along every axis, `(n, axes)`.
        sides: Length of the boxes along every axis.
        grid: Size of the image: (height, width), or (depth, height, width).

    Returns:
        Masks `(n, *grid)`, bool.
    """
    inside = torch.ones(len(corners), *grid, dtype=torch.bool)
    for axis, (length, side) in enumerate(zip(grid, sides, strict=True)):
        positions, start = torch.arange(length), corners[:, axis, None]
        covered = (positions >= start) & (positions < start + side)
        inside &= covered.view(-1, *[length if i == axis else 1 for i in range(len(grid))])
    return inside


def rise_masks(size: Sequence[int], n: int, cells: int, p: float, seed: int) -> Callable[[Tensor], Tensor]:
    """Sample the random masks of RISE (Petsiuk et al., BMVC 2018, section 3.2).

    A grid of cells x cells zeros and ones is upsampled bilinearly to (cells + 1) x (cells + 1) cells, from which a mask
    is cropped at a random offset within the first cell. The expected value of every pixel is p. Masks of volumes are
    made of cells x cells x cells, upsampled trilinearly.

    Args:
        size: (height, width) of the masks, or (depth, height, width).
        n: Number of masks.
        cells: Cells of a mask per side.
        p: Probability that a cell is 1.
        seed: Seed of the cells and offsets.

    Returns:
        A function from mask indices `(m,)` to masks `(m, *size)` in [0, 1], float64. Only cells and offsets are stored.
    """
    rng = generator(seed)
    grid = (torch.rand(n, *[cells] * len(size), generator=rng, dtype=torch.float32) < p).double()
    cell_px = [-(-side // cells) for side in size]  # pixels of a cell, rounded up as the authors do
    shifts = [torch.randint(0, pixels, (n,), generator=rng) for pixels in cell_px]

    def masks(indices: Tensor) -> Tensor:
        values = grid[indices]
        for shift, side, pixels in zip(shifts, size, cell_px, strict=True):  # the axis becomes the last one
            weights = _interpolation_weights(shift[indices], side, cells, pixels)
            values = torch.einsum("mpc,mc...->m...p", weights, values)
        return values

    return masks


def _interpolation_weights(shift: Tensor, side: int, cells: int, pixels: int) -> Tensor:
    """Return the weights `(m, side, cells)` of the cells at each pixel: linear, half-pixel centres, reflected border.

    Unlike `maps.upsample`, which replicates the border, this reflects it, as the authors' resize does (skimage,
    "reflect").
    """
    position = (shift[:, None] + torch.arange(side) + 0.5).double() * cells / ((cells + 1) * pixels) - 0.5
    last = cells - 1
    position = (last - (last - position.abs()).abs()).clamp(0, last)
    return (1 - (position[:, :, None] - torch.arange(cells)).abs()).clamp_min(0)
