"""How unequally a map is spread."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.normalization import normalized_magnitudes
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Hurley & Rickard, 2009; of maps: Chalasani et al., ICML 2020: G = sum_i (2i - n - 1) L_(i) / (n sum L)",
    deviation="of the absolute values",
    outputs=MetricOutput("neither"),
)
def gini(relevance: Tensor) -> float:
    """How unequally the map is spread over the places. Describes, does not judge.

    relevance  (H, W)  the map
    returns    0, where it is the same everywhere, to nearly 1, where all lies on one place. NaN for a map of nothing
    """
    sorted_values = normalized_magnitudes(relevance).sort().values
    n = len(sorted_values)
    rank = torch.arange(1, n + 1, dtype=sorted_values.dtype, device=sorted_values.device)
    return float(((2 * rank - n - 1) * sorted_values).sum() / n)
