"""How spread out a map is, in bits."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.normalization import normalized_magnitudes
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Shannon, 1948: H = -sum_i q_i log2 q_i with q = |L| / sum |L|; of maps: Bhatt et al., IJCAI 2020",
    deviation="log2, so in bits",
    outputs=MetricOutput("neither"),
)
def entropy(relevance: Tensor) -> float:
    """How spread out the map is: log2 of how many places it would lie on if it were even. Describes, does not judge.

    relevance  (H, W)  the map
    returns    0, where all of it lies on one place, to log2(H W). NaN for a map of nothing
    """
    q = normalized_magnitudes(relevance)
    return float(-(q * q.clamp_min(1e-300).log2()).sum())
