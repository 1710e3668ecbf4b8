"""IoU of the thresholded map and the object's mask."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.regions import Rule, is_rankable, largest_region, threshold_map
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Everingham et al., IJCV 2010 (intersection over union of segmentations), for a thresholded map",
    outputs=MetricOutput("high"),
)
def mask_iou(display_map: Tensor, mask: Tensor, *, threshold: float = 0.15, region: Rule = "everything") -> float:
    """Compute the IoU of the thresholded map with the object's mask.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        mask: `(height, width)` bool mask of the object.
        threshold: Fraction of the map's maximum that a pixel must reach, in (0, 1].
        region: Which pixels above the threshold count: "everything", or the largest region by the rule "component",
            "contour" or "rectangle", see `camlucida.metrics.common.regions.Rule`.

    Returns:
        The intersection over union, 0 to 1. A map that covers the whole image scores the object's fraction of the
        image.
    """
    if not is_rankable(display_map) or not bool(mask.any()):
        return float("nan")
    predicted = largest_region(threshold_map(display_map, threshold), region)
    return int((predicted & mask).sum()) / int((predicted | mask).sum())
