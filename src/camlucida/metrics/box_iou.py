"""How well the map's box fits the object's."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.regions import Rule, iou, is_rankable, largest_box, threshold_map
from camlucida.metrics.registry import MetricOutput, metric, preset


@metric(
    paper="Zhou et al., CVPR 2016, sec. 3.2 (CAM: 0.20 of the maximum); Selvaraju et al., ICCV 2017, sec. 4.1 "
    "(Grad-CAM: 0.15); the box encloses the largest connected segment",
    deviation="the papers say hit or miss at an IoU of 0.5 (`localisation_error`); this is the IoU itself",
    outputs=MetricOutput("high"),
)
def box_iou(shown: Tensor, boxes: Tensor, *, threshold: float = 0.15, region: Rule = "component") -> float:
    """Intersection over union of the box round the map's largest region and the true box that it fits best.

    shown      (height, width)  the map on the original picture, at least 0
    boxes      (n, 4)           the true boxes, in its pixels, right and bottom exclusive
    threshold  share of the map's maximum that a pixel of the region has at least, in (0, 1]
    region     what the largest region is: component, contour, rectangle or everything, see `parts/regions.py`
    returns    0 to 1; a box of the whole picture scores the object's share of it
    """
    if not is_rankable(shown):
        return float("nan")
    return float(iou(largest_box(threshold_map(shown, threshold), region)[None], boxes.double()).max())


preset("iou/gradcam2017", box_iou, threshold=0.15, region="component")
preset("iou/cam2016", box_iou, threshold=0.20, region="component")
