"""MuFidelity: rank correlation between the relevance of random cell sets and the score drops without them."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.maps import spearman
from camlucida.metrics.common.perturbation import Predict, grid_cells, relevance_and_drops
from camlucida.metrics.common.ranking import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Bhatt et al., IJCAI 2020, eq. 6 (faithfulness), with the grid and the rank correlation of Fel et al., "
    "NeurIPS 2021 (muFidelity)",
    deviation="each cell is removed with the same probability, as in Xplique, where the paper uses sets of one size",
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
    """Compute the rank correlation of a random cell set's relevance with the score drop without it.

    Args:
        relevance: `(H, W)` the map at input resolution. A constant map cannot be scored.
        inputs: `(c, H, W)` the network input.
        logits: `(k,)` the class scores of the unmodified input.
        target: The explained class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        predict: Computes class scores of modified inputs.
        random: Generator for the sets.
        cells: Number of cells per side of the grid.
        fraction: Probability that a cell is removed.
        samples: Number of sets.
        infill: What replaces removed pixels: zeros, black, mean, gaussian, rise_blur, road.

    Returns:
        Spearman's correlation over the sets, -1 to 1; higher is better, chance level 0.

    Raises:
        MetricError: If `fraction` is not between 0 and 1, or there are fewer than 2 samples.

    forwards per map: one per set, 200
    """
    if not 0 < fraction < 1 or samples < 2:
        raise MetricError(
            f"muFidelity needs a fraction between 0 and 1 and at least 2 samples, not {fraction}, {samples}."
        )
    if not is_rankable(relevance):
        return float("nan")
    grid = grid_cells(relevance.shape, cells)
    removed = torch.rand((samples, int(grid.max()) + 1), generator=random, dtype=torch.float32) < fraction
    set_relevance, drops = relevance_and_drops(
        relevance,
        inputs,
        logits,
        target,
        pixel_scale,
        black_level,
        predict,
        random,
        cells=grid,
        removed=removed,
        infill=infill,
    )
    return float(spearman(set_relevance[None], drops[None]))
