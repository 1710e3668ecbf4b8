"""Relevance rank accuracy and top-k intersection: fraction of the highest-ranked pixels on the object."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Arras et al., Information Fusion 2022 (CLEVR-XAI): RRA = |top_K and region| / |region|, K = |region|; "
    "Theiner et al., WACV 2022 (top-k intersection): |top_k and region| / k",
    deviation="pixels with equal values are in random order; k is at most the number of pixels",
    aliases=["relevance_rank_accuracy"],
    outputs={"relevance_rank": MetricOutput("high"), "top_k_intersection": MetricOutput("high")},
)
def relevance_rank(display_map: Tensor, region: Tensor, random: torch.Generator, *, k: int = 1000) -> dict[str, float]:
    """Compute the fraction of the highest pixels on the object, for as many as the object has, and for k.

    `RRA = |top_K and region| / |region|` with `K = |region|` (Arras et al., 2022); top-k intersection
    `|top_k and region| / k` (Theiner et al., 2022). Called `relevance_rank_accuracy` elsewhere.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        region: `(height, width)` bool mask of the object.
        random: Generator for ties.
        k: Number of pixels for the top-k intersection.

    Returns:
        `relevance_rank` and `top_k_intersection`, 0 to 1; the chance level of both is the fraction of the image that
        the object covers.
    """
    if not is_rankable(display_map) or not bool(region.any()):
        return {"relevance_rank": float("nan"), "top_k_intersection": float("nan")}
    size, k = int(region.sum()), min(k, display_map.numel())
    # A random permutation followed by a stable sort leaves equal values in random order.
    order = torch.randperm(display_map.numel(), generator=random)
    ranked = region.flatten()[order][display_map.flatten()[order].argsort(descending=True, stable=True)]
    return {
        "relevance_rank": float(ranked[:size].double().mean()),
        "top_k_intersection": float(ranked[:k].double().mean()),
    }
