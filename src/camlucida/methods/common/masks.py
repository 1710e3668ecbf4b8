"""What is hidden of a picture: windows, and random soft masks as the authors of RISE make them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camlucida.errors import MethodError
from camlucida.seeds import generator


def to_pixels(value: float, side: int) -> int:
    """A length as pixels, at most `side`: below 1 a share of it, else pixels already."""
    return min(side, max(1, round(value * side if value < 1 else value)))


def window_starts(length: int, side: int, step: int) -> Tensor:
    """Where windows of `side` pixels begin along `length` pixels, the last one flush with the end."""
    if step > side:
        raise MethodError(f"a stride of {step} pixels leaves gaps between windows of {side}. Choose a smaller stride.")
    return torch.tensor([*range(0, length - side, step), length - side])


def rise_masks(size: tuple[int, int], n: int, cells: int, p: float, seed: int) -> Callable[[Tensor], Tensor]:
    """Mask numbers (m,) in, masks (m, H, W) in 0..1 out; only the cells and shifts of all `n` are kept. float64.

    A grid of cells x cells zeros and ones is made (cells + 1) cells large, bilinearly, and a picture of `size`
    (height, width) is cut out at a random place of the first cell. Each pixel is seen with the mean p.
    """
    rng = generator(seed)
    grid = (torch.rand(n, cells, cells, generator=rng) < p).double()
    cell_px = [-(-side // cells) for side in size]  # pixels of a cell, rounded up as the authors do
    shifts = [torch.randint(0, pixels, (n,), generator=rng) for pixels in cell_px]

    def masks(indices: Tensor) -> Tensor:
        down, across = (
            _interpolation_weights(shift[indices], side, cells, pixels)
            for shift, side, pixels in zip(shifts, size, cell_px, strict=True)
        )
        return down @ grid[indices] @ across.mT

    return masks


def _interpolation_weights(shift: Tensor, side: int, cells: int, pixels: int) -> Tensor:
    """Weights (m, side, cells) of the cells at each pixel: linear, half-pixel centres, mirrored at the outer cells.

    Not `tensors.upsample`: the authors' resize (skimage, mode "reflect") mirrors where that one holds on.
    """
    position = (shift[:, None] + torch.arange(side) + 0.5).double() * cells / ((cells + 1) * pixels) - 0.5
    last = cells - 1
    position = (last - (last - position.abs()).abs()).clamp(0, last)
    return (1 - (position[:, :, None] - torch.arange(cells)).abs()).clamp_min(0)
