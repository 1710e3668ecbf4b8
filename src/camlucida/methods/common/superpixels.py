"""Segmentation of network inputs: a regular grid, or superpixels along edges (SLIC, Achanta et al., TPAMI 2012)."""

from __future__ import annotations

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
        inputs: Network inputs `(b, c, H, W)`.
        kind: "slic" or "grid".
        n_segments: Approximate number of segments.

    Returns:
        The segment of each pixel `(b, H, W)`, numbered row by row from 0, and the number of segments.
    """
    height, width = inputs.shape[-2:]
    rows = min(height, max(1, round((n_segments * height / width) ** 0.5)))
    columns = min(width, max(1, round(n_segments / rows)))
    down, across = torch.arange(height) * rows // height, torch.arange(width) * columns // width
    cells = down[:, None] * columns + across
    if kind == "grid":
        labels = cells.expand(len(inputs), height, width)
    else:
        labels = torch.stack([_slic(image.detach().cpu().double(), cells, rows, columns) for image in inputs])
    return labels.to(inputs.device), rows * columns


def _slic(image: Tensor, cells: Tensor, rows: int, columns: int) -> Tensor:
    """Segment an image `(c, H, W)` by k-means in colour and position, starting from the cells of a grid `(H, W)`.

    Each pixel chooses among the nine centres around its cell. Runs on the CPU, where the order of summation is fixed.
    Small disconnected regions are kept, since the methods do not need connected segments.
    """
    height, width = cells.shape
    spacing = (height * width / (rows * columns)) ** 0.5
    positions = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).double()
    points = torch.cat([image, positions * (COMPACTNESS / spacing)]).flatten(1).T
    offsets = torch.tensor([-1, 0, 1])
    row_candidates = (cells.flatten() // columns)[:, None] + offsets.repeat_interleave(3)
    column_candidates = (cells.flatten() % columns)[:, None] + offsets.repeat(3)
    candidates = row_candidates.clamp(0, rows - 1) * columns + column_candidates.clamp(0, columns - 1)
    labels, centres = cells.flatten(), torch.zeros(rows * columns, points.shape[1], dtype=torch.float64)
    for _ in range(N_ITERATIONS):
        sums = torch.zeros_like(centres).index_add_(0, labels, points)
        sizes = torch.bincount(labels, minlength=len(centres))[:, None]
        centres = torch.where(sizes > 0, sums / sizes.clamp_min(1), centres)
        distances = torch.stack([(points - centres[c]).square().sum(1) for c in candidates.T], dim=1)
        labels = candidates.gather(1, distances.argmin(1, keepdim=True))[:, 0]
    return labels.view(height, width)
