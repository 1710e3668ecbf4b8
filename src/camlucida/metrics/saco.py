"""SaCo: salience-guided faithfulness coefficient."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.perturbation import Predict, probability, relevance_and_drops
from camlucida.metrics.common.ranking import is_rankable, ranks
from camlucida.metrics.registry import MetricOutput, metric
from camlucida.tasks import MULTICLASS, OutputActivation


@metric(
    paper="Wu et al., CVPR 2024, alg. 1",
    deviation="the published code leaves the infill open: the image's mean colour is used",
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
    activation: OutputActivation = MULTICLASS,
    *,
    groups: int = 10,
    infill: str = "mean",
) -> float:
    """Compute how consistently pixel groups ranked by relevance are ranked by their probability drop.

    SaCo (Wu et al., 2024, alg. 1): each pair of groups is weighted by its difference in relevance, positively if the
    more relevant group has the larger drop, negatively otherwise.

    Args:
        relevance: `(H, W)` the map at input resolution. A constant map cannot be scored.
        inputs: `(c, H, W)` the network input.
        logits: `(k,)` the class scores of the unmodified input.
        target: The explained class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        predict: Computes class scores of modified inputs.
        random: Generator for the order of equal values.
        activation: How class scores become probabilities.
        groups: Number of groups, with the same number of pixels each.
        infill: What replaces removed pixels: mean, zeros, black, gaussian, rise_blur, road.

    Returns:
        The signed sum of the weights divided by the sum of their absolute values, -1 to 1; higher is better, chance
        level 0.

    Raises:
        MetricError: If there are fewer than 2 groups, or more groups than pixels.

    forwards per map: one per group, 10
    """
    if not 1 < groups <= relevance.numel():
        raise MetricError(f"SaCo needs at least 2 groups and at most one per pixel, not {groups}.")
    if not is_rankable(relevance):
        return float("nan")
    group_relevance, drops = relevance_and_drops(
        relevance,
        inputs,
        logits,
        target,
        pixel_scale,
        black_level,
        predict,
        random,
        cells=ranks(relevance, random) * groups // relevance.numel(),
        removed=torch.eye(groups, dtype=torch.bool),
        infill=infill,
        read=partial(probability, activation=activation),
    )
    first, second = torch.triu_indices(groups, groups, offset=1)
    differences = group_relevance[first] - group_relevance[second]
    weights = torch.where(drops[first] >= drops[second], differences, -differences)
    return float(weights.sum() / differences.abs().sum())
