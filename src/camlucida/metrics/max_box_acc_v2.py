"""How often one of the map's boxes fits the object, loosely, well and tightly."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.box_curves import AXES, Protocol, box_curve, max_box_acc_reduction
from camlucida.metrics.registry import MetricOutput, Score, metric, preset

OVERLAPS = (0.3, 0.5, 0.7)


@metric(
    paper="Choe et al., arXiv 2007.04178 (2020): MaxBoxAccV2, mean of MaxBoxAcc over delta = 0.3, 0.5, 0.7, all boxes",
    deviation="by default on the original picture, with components and exclusive boxes; `loc/choe2020-v2` follows the "
    "paper's code on the network's input, at all of its whole-numbered thresholds (its interval of 0.001)",
    outputs=MetricOutput("high", pool=max_box_acc_reduction(OVERLAPS), axes=AXES),
)
def max_box_acc_v2(
    shown: Tensor,
    boxes: Tensor,
    raw: Tensor,
    boxes_seen: Tensor,
    inputs: Tensor,
    *,
    protocol: Protocol = "picture",
) -> Score:
    """How often a box of one of the map's regions overlaps the object by 0.3, 0.5 and 0.7, on average.

    Every region is tried and the best counts, which favours maps in many pieces. For each overlap the threshold is the
    best one for the very pictures that are judged: it is what a map could reach. A box in the centre reaches 52.5 % on
    ImageNet.

    shown       (height, width)  the map on the original picture, at least 0
    boxes       (n, 4)           the true boxes there, right and bottom exclusive
    raw         (h, w)           the map on its own grid, signed
    boxes_seen  (n, 4)           the true boxes on the network's input
    inputs      (c, H, W)        the network's input
    protocol    how boxes are made: "picture" or "choe2020", see `parts/box_curves.py`
    returns     of a picture the best intersection over union at any threshold, 0 to 1, with the curve (255,) over
                thresholds; of all pictures the mean share of hits, 0 to 1. No chance level: see the controls
    """
    return box_curve(shown, boxes, raw, boxes_seen, inputs, protocol, all_regions=True)


preset("loc/choe2020-v2", max_box_acc_v2, protocol="choe2020")
