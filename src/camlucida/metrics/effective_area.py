"""Effective area: the fraction of the image that a map covers."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Choe et al., CVPR 2020, sec. 3.2, for one threshold: |{L >= t max L}| / (H W)",
    deviation="descriptive, not a score",
    outputs=MetricOutput("neither"),
)
def effective_area(relevance: Tensor, *, threshold: float = 0.5) -> float:
    """Compute the fraction of the image where the map reaches half its maximum (descriptive).

    `|{L >= t max L}| / (H W)`.

    Args:
        relevance: `(H, W)` the map.
        threshold: Threshold t as a fraction of the maximum.

    Returns:
        A number in (0, 1]; NaN for a map without positive values.
    """
    top = relevance.max()
    return float((relevance >= threshold * top).double().mean()) if top > 0 else float("nan")
