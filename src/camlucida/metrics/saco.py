"""SaCo: of every two groups of pixels, the one that is called more relevant should cost more."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.infill import pixel_remover
from camlucida.metrics.common.perturbation import Predict, cell_sums, probability, score_drops
from camlucida.metrics.common.ranking import is_rankable, ranks
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Wu et al., CVPR 2024, alg. 1",
    deviation="the code is a skeleton that leaves the infill open: ours is the picture's mean colour",
    outputs=MetricOutput("high", worst=-1.0),
)
def saco(
    relevance: Tensor,
    inputs: Tensor,
    logits: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    groups: int = 10,
    infill: str = "mean",
) -> float:
    """Whether groups of pixels, from most to least relevant, cost the class in that order, weighed by how far apart.

    relevance  (H, W)     the map on the network's input; of one that is the same everywhere nothing can be said
    inputs     (c, H, W)  the picture
    groups     of equally many pixels
    infill     what takes their place: mean, zeros, black, gaussian, rise_blur, road
    returns    the weights of pairs in the right order less those in the wrong one, of all weights: -1 to 1, chance
               level 0
    forwards   one a group: 10
    """
    if not 1 < groups <= relevance.numel():
        raise MetricError(f"SaCo needs at least 2 groups, and no more than pixels; not {groups}.")
    if not is_rankable(relevance):
        return float("nan")
    group = ranks(relevance, random) * groups // relevance.numel()
    remove = pixel_remover(inputs, infill, pixel_scale=pixel_scale, black_level=black_level, random=random)
    single_groups = torch.eye(groups, dtype=torch.bool)
    drops = score_drops(predict, remove, logits, target, group, single_groups, read=probability)
    group_relevance = cell_sums(relevance, group)
    first, second = torch.triu_indices(groups, groups, offset=1)
    differences = group_relevance[first] - group_relevance[second]
    weights = torch.where(drops[first] >= drops[second], differences, -differences)
    return float(weights.sum() / differences.abs().sum())
