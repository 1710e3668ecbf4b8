"""How much of the picture a map covers."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Choe et al., CVPR 2020, sec. 3.2, for one threshold: |{L >= t max L}| / (H W)",
    deviation="a description here, not a score",
    outputs=MetricOutput("neither"),
)
def effective_area(relevance: Tensor, *, threshold: float = 0.5) -> float:
    """The share of the picture on which the map is above half its maximum. Describes, does not judge.

    relevance  (H, W)  the map
    threshold  as a share of the maximum
    returns    above 0, to 1. NaN for a map of nothing
    """
    top = relevance.max()
    return float((relevance >= threshold * top).double().mean()) if top > 0 else float("nan")
