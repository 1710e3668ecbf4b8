"""MaxBoxAcc: fraction of images whose box matches the object, at the best threshold for the whole data set."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.box_curves import AXES, Protocol, box_curve, max_box_acc_reduction
from camlucida.metrics.registry import MetricOutput, Score, metric, preset

OVERLAPS = (0.5,)


@metric(
    paper="Choe et al., CVPR 2020: BoxAcc(tau, delta = 0.5), MaxBoxAcc = max over tau",
    deviation="by default on the original image, with connected components and exclusive boxes; `loc/choe2020-v1` "
    "follows the paper's code on the network input, at all of its integer thresholds (its interval of 0.001)",
    outputs=MetricOutput("high", pool=max_box_acc_reduction(OVERLAPS), axes=AXES),
)
def max_box_acc(
    display_map: Tensor,
    boxes: Tensor,
    raw: Tensor,
    input_boxes: Tensor,
    inputs: Tensor,
    *,
    protocol: Protocol = "image",
) -> Score:
    """Compute the fraction of images whose largest box has IoU >= 0.5, at the best common threshold.

    `MaxBoxAcc = max_tau BoxAcc(tau, 0.5)` (Choe et al., 2020). The threshold is chosen on the evaluated images, so the
    score is an upper bound. Compare it with the `centre` control and the other baselines.

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
        hit rate, 0 to 1. There is no chance level; see the controls.
    """
    return box_curve(display_map, boxes, raw, input_boxes, inputs, protocol, all_regions=False)


preset("loc/choe2020-v1", max_box_acc, protocol="choe2020")
