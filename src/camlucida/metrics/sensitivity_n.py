"""Sensitivity-n: whether relevance adds up to what is lost, in sets of every size."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.parts.ranking import is_rankable
from camlucida.metrics.parts.removal import Predict, grid_cells, score_drops, sums
from camlucida.metrics.parts.substrates import without
from camlucida.metrics.registry import Score, MetricOutput, metric
from camlucida.tensors import pearson


@metric(
    paper="Ancona et al., ICLR 2018, sec. 4",
    deviation="cells of a grid are the features, not pixels; 20 sets a size, not 100; a size of which nothing can be "
    "said (the same relevance in every set) is left out of the mean",
    gives=MetricOutput("high", worst=-1.0),
)
def sensitivity_n(
    relevance: Tensor,
    inputs: Tensor,
    logits: Tensor,
    target: int,
    pixel: Tensor,
    black: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    cells: int = 14,
    sizes: int = 8,
    samples: int = 20,
    infill: str = "zeros",
) -> Score:
    """Whether the relevance of n cells adds up to how far the class score falls without them, for n from few to most.

    relevance  (H, W)     the map on the network's input; of one that is the same everywhere nothing can be said
    inputs     (c, H, W)  the picture
    cells      on each side of the grid
    sizes      how many values of n, evenly spaced in their logarithm from 1 to 80 % of the cells
    samples    random sets of each size
    infill     what takes their place: zeros, black, mean, gaussian, rise_blur, road
    returns    the mean over n of the correlation over the sets, -1 to 1, chance level 0; the curve is that over n
    forwards   one a set: 160
    """
    if sizes < 1 or samples < 2:
        raise MetricError(f"Sensitivity-n needs at least 1 size and 2 samples, not {sizes}, {samples}.")
    if not is_rankable(relevance):
        return Score(float("nan"))
    grid = grid_cells(relevance.shape, cells)
    count = cells * cells
    counts = torch.logspace(0, torch.tensor(0.8 * count).log10().item(), sizes).round().long()
    gone = torch.zeros((sizes, samples, count), dtype=torch.bool)
    for one, size in zip(gone.flatten(0, 1), counts.repeat_interleave(samples), strict=True):
        one[torch.randperm(count, generator=random)[:size]] = True
    taken = without(inputs, infill, pixel=pixel, black=black, random=random)
    drops = score_drops(predict, taken, logits, target, grid, gone.flatten(0, 1)).reshape(sizes, samples)
    curve = pearson(gone.double() @ sums(relevance, grid), drops)
    return Score(float(curve.nanmean()), curve)
