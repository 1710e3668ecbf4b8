"""How much of a map is left under noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camlucida.maps import spearman
from camlucida.metrics.common.perturbed_inputs import explain_batches, noisy_copies
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Alvarez-Melis & Jaakkola, 2018 (robustness of explanations), with Spearman's r in place of a length: "
    "mean_i r(Phi(x), Phi(x + d_i))",
    deviation="a rank correlation, so that the map's scale does not matter",
    outputs=MetricOutput("high", worst=-1.0),
)
def noise_stability(
    relevance: Tensor,
    inputs: Tensor,
    explain: Callable[[Tensor], Tensor],
    pixel_scale: Tensor,
    random: torch.Generator,
    *,
    noise: float = 0.05,
    n: int = 5,
) -> float:
    """How alike the map stays under Gaussian noise: the mean rank correlation with it.

    relevance  (H, W)      the map
    inputs     (c, H, W)   the picture
    explain    pictures -> maps of other pictures
    pixel      (c, 1, 1)   one step from black to white
    random     the noise's
    noise      its standard deviation, as a share of the way from black to white
    n          how many noisy copies
    returns    -1 to 1, 1 where the order of the places stays. NaN where a map is the same everywhere
    """
    copies = noisy_copies(
        inputs, pixel_scale, random, n, lambda draw, shape: torch.randn(shape, generator=draw) * noise
    )
    maps = explain_batches(explain, copies)
    return float(spearman(relevance.expand_as(maps), maps).mean())
