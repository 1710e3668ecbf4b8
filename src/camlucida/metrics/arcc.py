"""ARCC: ADCC with ROAD in the place of the average drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from camlucida.metrics.adcc import coherency, harmonic_mean
from camlucida.metrics.average_drop import masked, minmax_scale
from camlucida.metrics.common.infill import ROAD_NOISE, check_fractions, pixel_remover
from camlucida.metrics.common.perturbation import Predict, probability
from camlucida.metrics.common.ranking import is_rankable, ranks
from camlucida.metrics.registry import MetricOutput, metric
from camlucida.metrics.road import both_orders


@metric(
    paper="Domeniconi et al., arXiv 2605.14641, and metrics/arcc.py of pytorch-grad-cam",
    deviation="so many pixels as the fraction says, where the code has those above a percentile of the map; noise as a "
    "share of the range from black to white, where the code has units of the network's input",
    outputs=MetricOutput("high", worst=0.0),
)
def arcc(
    relevance: Tensor,
    inputs: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    explain: Callable[[Tensor], Tensor],
    random: torch.Generator,
    *,
    fractions: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
    noise: float = ROAD_NOISE,
) -> float:
    """The harmonic mean of three: ROAD's gap, how alike the map of the masked picture is, how small the map.

    relevance  (H, W)     the map on the network's input; of one that is the same everywhere nothing can be said
    inputs     (c, H, W)  the picture
    fractions  shares of the pixels that are taken away, between 0 and 1
    noise      sigma of what is added to imputed pixels, as a share of the range from black to white
    returns    0 to 1, high is good; 0 for a map whose gap is no better than chance
    forwards   8, exact solutions worth about 5, and one more map
    """
    removed_fractions = check_fractions(fractions, "fractions")
    if not is_rankable(relevance):
        return float("nan")
    saliency = minmax_scale(relevance)
    coherence = coherency(saliency, explain, masked(inputs, saliency))
    order = ranks(relevance, random).to(inputs.device)
    remove = pixel_remover(inputs, "road", pixel_scale=pixel_scale, black_level=black_level, random=random, noise=noise)
    morf, lerf = both_orders(predict, remove, order, removed_fractions)
    gap = float((probability(lerf, target) - probability(morf, target)).mean())
    return harmonic_mean(coherence, 1 - float(saliency.double().mean()), min(1.0, max(0.0, gap)))
