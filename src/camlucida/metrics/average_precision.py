"""How far up the map's ranking the object's pixels stand."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.parts.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Manning et al., Introduction to Information Retrieval 2008, sec. 8.4: AP = sum_k (R_k - R_(k-1)) P_k",
    gives=MetricOutput("high"),
)
def average_precision(shown: Tensor, region: Tensor) -> float:
    """The mean share of the object among the pixels that are as high as each of its own; of this picture alone.

    shown    (height, width)  the map on the original picture, at least 0
    region   (height, width)  bool: the object
    returns  0 to 1, chance level the object's share of the picture
    """
    if not is_rankable(shown) or not bool(region.any()):
        return float("nan")
    heat, order = shown.flatten().sort(descending=True)
    object_ = region.flatten()[order].long().cumsum(0)
    last = heat.diff(append=heat.new_full((1,), -1.0)) != 0  # equal pixels come in together
    found, among = object_[last].double(), last.nonzero()[:, 0] + 1
    return float((found.diff(prepend=found.new_zeros(1)) * found / among).sum() / found[-1])
