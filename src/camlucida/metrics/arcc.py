"""ARCC: ADCC with ROAD instead of the average drop."""

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
from camlucida.tasks import MULTICLASS, OutputActivation


@metric(
    paper="Domeniconi et al., arXiv 2605.14641, and metrics/arcc.py of pytorch-grad-cam",
    deviation="exactly the given fraction of the pixels, where the code takes those above a percentile of the map; "
    "noise as a fraction of the range from black to white, where the code uses units of the network input",
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
    activation: OutputActivation = MULTICLASS,
    *,
    fractions: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
    noise: float = ROAD_NOISE,
) -> float:
    """Compute the harmonic mean of the ROAD gap, the coherency and 1 - complexity of a map.

    Args:
        relevance: `(H, W)` the map at input resolution. A constant map cannot be scored.
        inputs: `(c, H, W)` the network input.
        target: The explained class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        predict: Computes class scores of modified inputs.
        explain: Computes maps of other inputs for the same class.
        random: Generator for the noise and for the order of equal values.
        activation: How class scores become probabilities.
        fractions: Fractions of the pixels that are removed, between 0 and 1.
        noise: Standard deviation of the noise added to imputed pixels, as a fraction of the range from black to white.

    Returns:
        A number in [0, 1]; higher is better. 0 for a map whose ROAD gap is not above chance.

    forwards per map: 8, linear solves that cost about as much as 5, and one more map
    """
    removed_fractions = check_fractions(fractions, "fractions")
    if not is_rankable(relevance):
        return float("nan")
    saliency = minmax_scale(relevance)
    coherence = coherency(saliency, explain, masked(inputs, saliency))
    order = ranks(relevance, random).to(inputs.device)
    remove = pixel_remover(inputs, "road", pixel_scale=pixel_scale, black_level=black_level, random=random, noise=noise)
    morf, lerf = both_orders(predict, remove, order, removed_fractions)
    gap = float((probability(lerf, target, activation) - probability(morf, target, activation)).mean())
    return harmonic_mean(coherence, 1 - float(saliency.double().mean()), min(1.0, max(0.0, gap)))
