"""Gini coefficient of a map."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.ranking import normalized_magnitudes
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Hurley & Rickard, 2009; of maps: Chalasani et al., ICML 2020: G = sum_i (2i - n - 1) L_(i) / (n sum L)",
    deviation="of the absolute values",
    aliases=["sparseness"],
    outputs=MetricOutput("neither"),
)
def gini(relevance: Tensor) -> float:
    """Compute the Gini coefficient of the map's absolute values (descriptive).

    `G = sum_i (2i - n - 1) L_(i) / (n sum L)`. Called `sparseness` elsewhere.

    Args:
        relevance: `(H, W)` the map.

    Returns:
        0 for a constant map, up to almost 1 for a single non-zero position; NaN for a map that is zero everywhere.
    """
    sorted_values = normalized_magnitudes(relevance).sort().values
    n = len(sorted_values)
    rank = torch.arange(1, n + 1, dtype=sorted_values.dtype, device=sorted_values.device)
    return float(((2 * rank - n - 1) * sorted_values).sum() / n)
