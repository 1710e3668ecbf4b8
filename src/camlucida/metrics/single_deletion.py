"""Single-deletion score: rank correlation of each cell's relevance with the score drop without it."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.maps import spearman
from camlucida.metrics.common.perturbation import Predict, grid_cells, relevance_and_drops
from camlucida.metrics.common.ranking import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Hesse et al., NeurIPS 2024 (IDSDS), sec. 3, on the unmodified network (SDS)",
    deviation="none; on a network that was trained with removed cells it is IDSDS",
    outputs=MetricOutput("high", worst=-1.0),
)
def single_deletion(
    relevance: Tensor,
    inputs: Tensor,
    logits: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    cells: int = 4,
    infill: str = "zeros",
) -> float:
    """Compute the rank correlation of each grid cell's relevance with the score drop without the cell.

    Single deletion (Hesse et al., 2024): cells are removed one at a time, so that the score does not depend on a
    removal order.

    Args:
        relevance: `(H, W)` the map at input resolution. A constant map cannot be scored.
        inputs: `(c, H, W)` the network input.
        logits: `(k,)` the class scores of the unmodified input.
        target: The explained class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        predict: Computes class scores of modified inputs.
        random: Generator for the noise of the infill "road".
        cells: Number of cells per side of the grid.
        infill: What replaces a removed cell: zeros, black, mean, gaussian, rise_blur, road.

    Returns:
        Spearman's correlation over the cells, -1 to 1; higher is better, chance level 0.

    forwards per map: one per cell, 16
    """
    if not is_rankable(relevance):
        return float("nan")
    grid = grid_cells(relevance.shape, cells)
    cell_relevance, drops = relevance_and_drops(
        relevance,
        inputs,
        logits,
        target,
        pixel_scale,
        black_level,
        predict,
        random,
        cells=grid,
        removed=torch.eye(int(grid.max()) + 1, dtype=torch.bool),
        infill=infill,
    )
    return float(spearman(cell_relevance[None], drops[None]))
