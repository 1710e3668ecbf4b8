"""muFidelity: random sets of cells away, and whether the map knew what that would cost."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.maps import spearman
from camlucida.metrics.common.infill import pixel_remover
from camlucida.metrics.common.perturbation import Predict, cell_sums, grid_cells, score_drops
from camlucida.metrics.common.ranking import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Bhatt et al., IJCAI 2020, eq. 6 (faithfulness), with the grid and the rank correlation of Fel et al., "
    "NeurIPS 2021 (muFidelity)",
    deviation="each cell goes with the same probability, as in Xplique, where the paper takes sets of one size",
    outputs=MetricOutput("high", worst=-1.0),
)
def mu_fidelity(
    relevance: Tensor,
    inputs: Tensor,
    logits: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    cells: int = 9,
    fraction: float = 0.2,
    samples: int = 200,
    infill: str = "zeros",
) -> float:
    """Whether the relevance of a random set of cells tells how far the class score falls without them.

    relevance  (H, W)     the map on the network's input; of one that is the same everywhere nothing can be said
    inputs     (c, H, W)  the picture
    cells      on each side of the grid
    share      how probable it is for each cell to go
    samples    how many sets
    infill     what takes their place: zeros, black, mean, gaussian, rise_blur, road
    returns    the rank correlation over the sets, -1 to 1, chance level 0
    forwards   one a set: 200
    """
    if not 0 < fraction < 1 or samples < 2:
        raise MetricError(
            f"muFidelity needs a share between 0 and 1 and at least 2 samples, not {fraction}, {samples}."
        )
    if not is_rankable(relevance):
        return float("nan")
    grid = grid_cells(relevance.shape, cells)
    removed = torch.rand((samples, cells * cells), generator=random) < fraction
    remove = pixel_remover(inputs, infill, pixel_scale=pixel_scale, black_level=black_level, random=random)
    drops = score_drops(predict, remove, logits, target, grid, removed)
    return float(spearman((removed.double() @ cell_sums(relevance, grid))[None], drops[None]))
