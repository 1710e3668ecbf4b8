"""How far up the map's ranking the object's pixels stand."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Manning et al., Introduction to Information Retrieval 2008, sec. 8.4: AP = sum_k (R_k - R_(k-1)) P_k",
    outputs=MetricOutput("high"),
)
def average_precision(shown: Tensor, region: Tensor) -> float:
    """The mean share of the object among the pixels that are as high as each of its own; of this picture alone.

    shown    (height, width)  the map on the original picture, at least 0
    region   (height, width)  bool: the object
    returns  0 to 1, chance level the object's share of the picture
    """
    if not is_rankable(shown) or not bool(region.any()):
        return float("nan")
    saliency, order = shown.flatten().sort(descending=True)
    object_ = region.flatten()[order].long().cumsum(0)
    last = saliency.diff(append=saliency.new_full((1,), -1.0)) != 0  # equal pixels come in together
    hits, n_ranked = object_[last].double(), last.nonzero()[:, 0] + 1
    return float((hits.diff(prepend=hits.new_zeros(1)) * hits / n_ranked).sum() / hits[-1])
