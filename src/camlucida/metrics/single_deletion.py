"""Single-deletion score: one cell away at a time, so that there is no order to play."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.maps import spearman
from camlucida.metrics.common.infill import pixel_remover
from camlucida.metrics.common.perturbation import Predict, cell_sums, grid_cells, score_drops
from camlucida.metrics.common.ranking import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Hesse et al., NeurIPS 2024 (IDSDS), sec. 3, on the network as it is (SDS)",
    deviation="none; on a network that was trained with cells missing it is IDSDS",
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
    """Whether the cells of a coarse grid that the map calls relevant are those whose loss costs the class most.

    relevance  (H, W)     the map on the network's input; of one that is the same everywhere nothing can be said
    inputs     (c, H, W)  the picture
    cells      on each side of the grid
    infill     what takes a cell's place: zeros, black, mean, gaussian, rise_blur, road
    returns    the rank correlation of the cells' relevance and the falls of the class score, -1 to 1, chance level 0
    forwards   one a cell: 16
    """
    if not is_rankable(relevance):
        return float("nan")
    grid = grid_cells(relevance.shape, cells)
    remove = pixel_remover(inputs, infill, pixel_scale=pixel_scale, black_level=black_level, random=random)
    drops = score_drops(predict, remove, logits, target, grid, torch.eye(cells * cells, dtype=torch.bool))
    return float(spearman(cell_sums(relevance, grid)[None], drops[None]))
