"""How well the map's shape fits the object's."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.regions import Rule, is_rankable, largest_region, threshold_map
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Everingham et al., IJCV 2010 (intersection over union of segmentations), for a thresholded map",
    outputs=MetricOutput("high"),
)
def mask_iou(shown: Tensor, mask: Tensor, *, threshold: float = 0.15, region: Rule = "everything") -> float:
    """Intersection over union of what is above a threshold and the object's mask.

    shown      (height, width)  the map on the original picture, at least 0
    mask       (height, width)  bool: the object's pixels
    threshold  share of the map's maximum that a pixel has at least, in (0, 1]
    region     which of the pixels above the threshold count: everything, or the largest region by one of the rules
               component, contour, rectangle, see `parts/regions.py`
    returns    0 to 1; the whole picture scores the object's share of it
    """
    if not is_rankable(shown) or not bool(mask.any()):
        return float("nan")
    predicted = largest_region(threshold_map(shown, threshold), region)
    return float((predicted & mask).sum() / (predicted | mask).sum())
