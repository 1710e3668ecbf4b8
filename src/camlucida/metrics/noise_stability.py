"""Noise stability: similarity of a map to the maps of noisy inputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camlucida.maps import spearman
from camlucida.metrics.common.perturbed_inputs import explain_batches, noisy_copies
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Alvarez-Melis & Jaakkola, 2018 (robustness of explanations), with Spearman's r instead of a distance: "
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
    """Compute the mean rank correlation of the map with the maps of inputs with Gaussian noise.

    `mean_i r(Phi(x), Phi(x + d_i))` with Spearman's r.

    Args:
        relevance: `(H, W)` the map at input resolution.
        inputs: `(c, H, W)` the network input.
        explain: Computes maps of other inputs for the same class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        random: Generator for the noise.
        noise: Standard deviation of the noise, as a fraction of the range from black to white.
        n: Number of noisy copies.

    Returns:
        -1 to 1; 1 if the ranking of positions does not change. NaN if one of the maps is constant.
    """
    copies = noisy_copies(
        inputs,
        pixel_scale,
        random,
        n,
        lambda draw, shape: torch.randn(shape, generator=draw, dtype=torch.float32) * noise,
    )
    maps = explain_batches(explain, copies)
    return float(spearman(relevance.expand_as(maps), maps).mean())
