"""IoU of the map's bounding box and the ground-truth box."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.regions import Rule, iou, is_rankable, largest_box, threshold_map
from camlucida.metrics.registry import MetricOutput, metric, preset


@metric(
    paper="Zhou et al., CVPR 2016, sec. 3.2 (CAM: 0.20 of the maximum); Selvaraju et al., ICCV 2017, sec. 4.1 "
    "(Grad-CAM: 0.15); the box encloses the largest connected segment",
    deviation="the papers report hit or miss at an IoU of 0.5 (`localisation_error`); this is the IoU itself",
    outputs=MetricOutput("high"),
)
def box_iou(display_map: Tensor, boxes: Tensor, *, threshold: float = 0.15, region: Rule = "component") -> float:
    """Compute the IoU of the box around the map's largest region with the best-matching true box.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        boxes: `(n, 4)` the true boxes in pixels of the original image, right and bottom exclusive.
        threshold: Fraction of the map's maximum that a pixel of the region must reach, in (0, 1].
        region: Which region counts as the largest: "component", "contour", "rectangle" or "everything", see
            `camlucida.metrics.common.regions.Rule`.

    Returns:
        The intersection over union, 0 to 1. A box that covers the whole image scores the object's fraction of the
        image.
    """
    if not is_rankable(display_map):
        return float("nan")
    return float(iou(largest_box(threshold_map(display_map, threshold), region)[None], boxes.double()).max())


preset("iou/gradcam2017", box_iou, threshold=0.15, region="component")
preset("iou/cam2016", box_iou, threshold=0.20, region="component")
