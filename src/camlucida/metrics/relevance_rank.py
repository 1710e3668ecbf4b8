"""How many of the map's highest pixels lie on the object."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Arras et al., Information Fusion 2022 (CLEVR-XAI): RRA = |top_K and region| / |region|, K = |region|; "
    "Theiner et al., WACV 2022 (top-k intersection): |top_k and region| / k",
    deviation="equal pixels are drawn in a seeded order; k is at most the number of the picture's pixels",
    outputs={"relevance_rank": MetricOutput("high"), "top_k_intersection": MetricOutput("high")},
)
def relevance_rank(shown: Tensor, region: Tensor, random: torch.Generator, *, k: int = 1000) -> dict[str, float]:
    """The share of the map's highest pixels that lie on the object: of as many as it has, and of the k highest.

    shown    (height, width)  the map on the original picture, at least 0
    region   (height, width)  bool: the object
    random   for ties
    k        pixels of the second number
    returns  relevance_rank and top_k_intersection, 0 to 1, chance level of both the object's share of the picture
    """
    if not is_rankable(shown) or not bool(region.any()):
        return {"relevance_rank": float("nan"), "top_k_intersection": float("nan")}
    size, k = int(region.sum()), min(k, shown.numel())
    # A random order first, then a stable sort: equal pixels stay in the random order.
    order = torch.randperm(shown.numel(), generator=random)
    ranked = region.flatten()[order][shown.flatten()[order].argsort(descending=True, stable=True)]
    return {
        "relevance_rank": float(ranked[:size].double().mean()),
        "top_k_intersection": float(ranked[:k].double().mean()),
    }
