"""ARCC: ADCC with ROAD in the place of the average drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from camlucida.metrics.adcc import coherency, harmonic_mean
from camlucida.metrics.average_drop import masked, minmax_scale
from camlucida.metrics.parts.ranking import is_rankable, ranks
from camlucida.metrics.parts.removal import Predict, probability
from camlucida.metrics.parts.substrates import ROAD_NOISE, checked_shares, without
from camlucida.metrics.registry import MetricOutput, metric
from camlucida.metrics.road import both_orders


@metric(
    paper="Domeniconi et al., arXiv 2605.14641, and metrics/arcc.py of pytorch-grad-cam",
    deviation="so many pixels as the fraction says, where the code has those above a percentile of the map; noise as a "
    "share of the range from black to white, where the code has units of the network's input",
    gives=MetricOutput("high", worst=0.0),
)
def arcc(
    relevance: Tensor,
    inputs: Tensor,
    target: int,
    pixel: Tensor,
    black: Tensor,
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
    shares = checked_shares(fractions, "fractions")
    if not is_rankable(relevance):
        return float("nan")
    heat = minmax_scale(relevance)
    alike = coherency(heat, explain, masked(inputs, heat))
    places = ranks(relevance, random).to(inputs.device)
    hidden = without(inputs, "road", pixel=pixel, black=black, random=random, noise=noise)
    morf, lerf = both_orders(predict, hidden, places, shares)
    gap = float((probability(lerf, target) - probability(morf, target)).mean())
    return harmonic_mean(alike, 1 - float(heat.double().mean()), min(1.0, max(0.0, gap)))
