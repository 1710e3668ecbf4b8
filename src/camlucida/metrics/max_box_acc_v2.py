"""MaxBoxAccV2: MaxBoxAcc averaged over three IoU thresholds, with all boxes of the map."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.box_curves import AXES, Protocol, box_curve, max_box_acc_reduction
from camlucida.metrics.registry import MetricOutput, Score, metric, preset

OVERLAPS = (0.3, 0.5, 0.7)


@metric(
    paper="Choe et al., arXiv 2007.04178 (2020): MaxBoxAccV2, mean of MaxBoxAcc over delta = 0.3, 0.5, 0.7, all boxes",
    deviation="by default on the original image, with connected components and exclusive boxes; `loc/choe2020-v2` "
    "follows the paper's code on the network input, at all of its integer thresholds (its interval of 0.001)",
    outputs=MetricOutput("high", pool=max_box_acc_reduction(OVERLAPS), axes=AXES),
)
def max_box_acc_v2(
    display_map: Tensor,
    boxes: Tensor,
    raw: Tensor,
    input_boxes: Tensor,
    inputs: Tensor,
    *,
    protocol: Protocol = "image",
) -> Score:
    """Compute MaxBoxAcc averaged over IoU 0.3, 0.5 and 0.7, with the best of all boxes of a map.

    All regions are tried and the best one counts, which favours maps with many components. For each IoU, the threshold
    is chosen on the evaluated images, so the score is an upper bound (Choe et al., 2020). A box in the centre reaches
    52.5 % on ImageNet.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        boxes: `(n, 4)` the true boxes on the original image, right and bottom exclusive.
        raw: `(h, w)` the signed map at layer resolution.
        input_boxes: `(n, 4)` the true boxes on the network input.
        inputs: `(c, H, W)` the network input.
        protocol: How boxes are extracted, "image" or "choe2020", see
            `camlucida.metrics.common.box_curves.Protocol`.

    Returns:
        Per image, the best IoU at any threshold, 0 to 1, with the curve `(255,)` over thresholds; over all images, the
        mean hit rate, 0 to 1. There is no chance level; see the controls.
    """
    return box_curve(display_map, boxes, raw, input_boxes, inputs, protocol, all_regions=True)


preset("loc/choe2020-v2", max_box_acc_v2, protocol="choe2020")
