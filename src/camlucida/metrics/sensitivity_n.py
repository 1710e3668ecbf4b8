"""Sensitivity-n: correlation between the relevance of n cells and the score drop without them, for several n."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.maps import pearson
from camlucida.metrics.common.perturbation import Predict, grid_cells, relevance_and_drops
from camlucida.metrics.common.ranking import is_rankable
from camlucida.metrics.registry import MetricOutput, Score, metric


@metric(
    paper="Ancona et al., ICLR 2018, sec. 4",
    deviation="the features are cells of a grid, not pixels; 20 sets per size, not 100; a size for which the "
    "correlation is undefined (every set has the same relevance) is left out of the mean",
    outputs=MetricOutput("high", worst=-1.0),
)
def sensitivity_n(
    relevance: Tensor,
    inputs: Tensor,
    logits: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    cells: int = 14,
    sizes: int = 8,
    samples: int = 20,
    infill: str = "zeros",
) -> Score:
    """Compute the mean correlation of the relevance of n cells with the score drop, over several n.

    Sensitivity-n (Ancona et al., 2018), with the cells of a grid as features.

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
        sizes: Number of values of n, spaced logarithmically from 1 to 80 % of the cells.
        samples: Number of random sets per size.
        infill: What replaces removed pixels: zeros, black, mean, gaussian, rise_blur, road.

    Returns:
        The mean over n of Pearson's correlation over the sets, -1 to 1; higher is better, chance level 0. The curve
        holds the correlation for each n.

    Raises:
        MetricError: If there is no size, or fewer than 2 samples.

    forwards per map: one per set, 160
    """
    if sizes < 1 or samples < 2:
        raise MetricError(f"Sensitivity-n needs at least 1 size and 2 samples, not {sizes}, {samples}.")
    if not is_rankable(relevance):
        return Score(float("nan"))
    grid = grid_cells(relevance.shape, cells)
    n_cells = int(grid.max()) + 1
    counts = (
        torch.logspace(0, torch.tensor(0.8 * n_cells, dtype=torch.float32).log10().item(), sizes, dtype=torch.float32)
        .round()
        .long()
    )
    removed = torch.zeros((sizes, samples, n_cells), dtype=torch.bool)
    for subset, size in zip(removed.flatten(0, 1), counts.repeat_interleave(samples), strict=True):
        subset[torch.randperm(n_cells, generator=random)[:size]] = True
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
        removed=removed.flatten(0, 1),
        infill=infill,
    )
    curve = pearson(set_relevance.reshape(sizes, samples), drops.reshape(sizes, samples))
    return Score(float(curve.nanmean()), curve)
