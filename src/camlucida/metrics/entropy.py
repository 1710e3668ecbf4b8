"""Entropy of a map, in bits."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.ranking import normalized_magnitudes
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Shannon, 1948: H = -sum_i q_i log2 q_i with q = |L| / sum |L|; of maps: Bhatt et al., IJCAI 2020",
    deviation="log2: the unit is bits",
    aliases=["complexity"],
    outputs=MetricOutput("neither"),
)
def entropy(relevance: Tensor) -> float:
    """Compute the Shannon entropy of the normalised map, in bits (descriptive).

    `H = -sum_i q_i log2 q_i` with `q = |L| / sum |L|`. Called `complexity` elsewhere.

    Args:
        relevance: `(H, W)` the map.

    Returns:
        0 for a single non-zero position, up to log2(H W) for a constant map; NaN for a map that is zero everywhere.
    """
    q = normalized_magnitudes(relevance)
    return float(-(q * q.clamp_min(1e-300).log2()).sum())
