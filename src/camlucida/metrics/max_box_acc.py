"""How often the map's box fits the object, at the threshold that is best for all pictures."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.box_curves import AXES, Protocol, box_curve, max_box_acc_reduction
from camlucida.metrics.registry import MetricOutput, Score, metric, preset

OVERLAPS = (0.5,)


@metric(
    paper="Choe et al., CVPR 2020: BoxAcc(tau, delta = 0.5), MaxBoxAcc = max over tau",
    deviation="by default on the original picture, with components and exclusive boxes; `loc/choe2020-v1` follows the "
    "paper's code on the network's input, at all of its whole-numbered thresholds (its interval of 0.001)",
    outputs=MetricOutput("high", pool=max_box_acc_reduction(OVERLAPS), axes=AXES),
)
def max_box_acc(
    shown: Tensor,
    boxes: Tensor,
    raw: Tensor,
    boxes_seen: Tensor,
    inputs: Tensor,
    *,
    protocol: Protocol = "picture",
) -> Score:
    """How often the box of the map's largest region overlaps the object by half, at one threshold for all pictures.

    The threshold is the best one for the very pictures that are judged: it is what a map could reach.
    Compare it with the centre and the other controls.

    shown       (height, width)  the map on the original picture, at least 0
    boxes       (n, 4)           the true boxes there, right and bottom exclusive
    raw         (h, w)           the map on its own grid, signed
    boxes_seen  (n, 4)           the true boxes on the network's input
    inputs      (c, H, W)        the network's input
    protocol    how boxes are made: "picture" or "choe2020", see `parts/box_curves.py`
    returns     of a picture the best intersection over union at any threshold, 0 to 1, with the curve (255,) over
                thresholds; of all pictures the share of hits, 0 to 1. No chance level: see the controls
    """
    return box_curve(shown, boxes, raw, boxes_seen, inputs, protocol, all_regions=False)


preset("loc/choe2020-v1", max_box_acc, protocol="choe2020")
