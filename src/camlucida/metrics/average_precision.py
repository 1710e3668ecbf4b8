"""Average precision of the map as a ranking of object pixels, per image."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Manning et al., Introduction to Information Retrieval 2008, sec. 8.4: AP = sum_k (R_k - R_(k-1)) P_k",
    outputs=MetricOutput("high"),
)
def average_precision(display_map: Tensor, region: Tensor) -> float:
    """Compute the average precision of the object's pixels when pixels are ranked by map value.

    `AP = sum_k (R_k - R_(k-1)) P_k` over the distinct map values of one image; `pxap` computes it over a data set.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        region: `(height, width)` bool mask of the object.

    Returns:
        A number in [0, 1]; the chance level is the fraction of the image that the object covers.
    """
    if not is_rankable(display_map) or not bool(region.any()):
        return float("nan")
    saliency, order = display_map.flatten().sort(descending=True)
    object_ = region.flatten()[order].long().cumsum(0)
    last = saliency.diff(append=saliency.new_full((1,), -1.0)) != 0  # equal values enter the ranking together
    hits, n_ranked = object_[last].double(), last.nonzero()[:, 0] + 1
    return float((hits.diff(prepend=hits.new_zeros(1)) * hits / n_ranked).sum() / hits[-1])
