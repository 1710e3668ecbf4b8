"""Segmentation of network inputs: a regular grid, or superpixels along edges (SLIC, Achanta et al., TPAMI 2012)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from camlucida.options import OneOf

SUPERPIXEL_KINDS = ("slic", "grid")
Superpixels: TypeAlias = Annotated[str, OneOf(SUPERPIXEL_KINDS)]
"""Name of a segmentation."""
COMPACTNESS = 1.0
"""Weight of the distance between two centres in units of normalised colour (about standard deviations). With a lower
weight, segments fray along soft edges, as seen on photographs; with a higher one they cross edges.
"""
N_ITERATIONS = 10
"""Number of iterations, as in the paper: the error has converged by then."""


def segment_images(inputs: Tensor, kind: str, n_segments: int) -> tuple[Tensor, int]:
    """Segment network inputs.

    The number of segments depends on the size alone, so that the images of a batch share random patterns; a segment may
    be empty.

    Args:
        inputs: Network inputs `(b, c, *grid)`.
        kind: "slic" or "grid".
        n_segments: Approximate number of segments.

    Returns:
        The segment of each pixel `(b, *grid)`, numbered row by row from 0, and the number of segments.
    """
    sides = tuple(inputs.shape[2:])
    counts = _cells_per_axis(sides, n_segments)
    along = [torch.arange(side) * count // side for side, count in zip(sides, counts, strict=True)]
    cells = torch.stack(torch.meshgrid(*along, indexing="ij"))
    numbers = _number(cells, counts)
    if kind == "grid":
        labels = numbers.expand(len(inputs), *sides)
    else:
        labels = torch.stack([_slic(image.detach().cpu().double(), cells, counts) for image in inputs])
    return labels.to(inputs.device), math.prod(counts)


def _cells_per_axis(sides: Sequence[int], n_segments: int) -> list[int]:
    """Return the numbers of cells along the axes, whose product is about `n_segments`: cells of nearly equal sides."""
    counts, remaining = [], float(n_segments)
    for i, side in enumerate(sides):
        n_axes, volume = len(sides) - i, math.prod(sides[i:])
        count = min(side, max(1, round((remaining * side**n_axes / volume) ** (1 / n_axes))))
        counts.append(count)
        remaining /= count
    return counts


def _number(cells: Tensor, counts: Sequence[int]) -> Tensor:
    """Return the numbers `(*shape)` of cells with coordinates `(axes, *shape)`, row by row."""
    numbers = torch.zeros_like(cells[0])
    for coordinates, count in zip(cells, counts, strict=True):
        numbers = numbers * count + coordinates
    return numbers


def _slic(image: Tensor, cells: Tensor, counts: Sequence[int]) -> Tensor:
    """Segment an image `(c, *grid)` by k-means in colour and position, starting from the cells `(axes, *grid)`.

    Each pixel chooses among the centres of its cell and of those around it: nine in an image, 27 in a volume. Runs on
    the CPU, where the order of summation is fixed. Small disconnected regions are kept, since the methods do not need
    connected segments.
    """
    grid, n_cells = cells.shape[1:], math.prod(counts)
    spacing = (math.prod(grid) / n_cells) ** (1 / len(counts))
    positions = torch.stack(torch.meshgrid(*map(torch.arange, grid), indexing="ij")).double()
    points = torch.cat([image, positions * (COMPACTNESS / spacing)]).flatten(1).T
    offsets = torch.cartesian_prod(*[torch.tensor([-1, 0, 1])] * len(counts)).T[:, None]
    limits = torch.tensor(counts)[:, None, None] - 1
    neighbours = (cells.flatten(1)[:, :, None] + offsets).clamp_min(0).minimum(limits)
    candidates = _number(neighbours, counts)
    labels, centres = _number(cells, counts).flatten(), torch.zeros(n_cells, points.shape[1], dtype=torch.float64)
    for _ in range(N_ITERATIONS):
        sums = torch.zeros_like(centres).index_add_(0, labels, points)
        sizes = torch.bincount(labels, minlength=len(centres))[:, None]
        centres = torch.where(sizes > 0, sums / sizes.clamp_min(1), centres)
        distances = torch.stack([(points - centres[c]).square().sum(1) for c in candidates.T], dim=1)
        labels = candidates.gather(1, distances.argmin(1, keepdim=True))[:, 0]
    return labels.view(grid)
