"""How much of the map lies on the class's cells of a mosaic, also as a share of what is possible at the map's grid."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from camlucida.maps import upsample
from camlucida.metrics.registry import MetricOutput, metric

MIN_SUM = 1e-7
"""A map whose sum is at most this counts as 0, as in the authors' code."""


def ceiling(region: Tensor, grid: tuple[int, int]) -> float:
    """The most that a map of this grid which is even on the region (H, W) has of itself there, once it is enlarged.

    Enlarging bilinearly takes half a cell of it over the region's edge: 0.9646 for a corner of 7 x 7 features.
    """
    best = F.adaptive_avg_pool2d(region.double()[None, None], grid)[0]
    enlarged = upsample(best, (int(region.shape[0]), int(region.shape[1])))[0]
    total = float(enlarged.sum())
    return float(enlarged[region].sum()) / total if total > 0 else float("nan")


@metric(
    paper="Rao et al., CVPR 2022, eq. 1 (grid localisation): L_i = sum_(p in cell i) A+(p) / sum_p A+(p)",
    outputs={
        "grid_pointing": MetricOutput("high"),
        "grid_pointing_of_ceiling": MetricOutput("high"),
    },
)
def grid_pointing(relevance: Tensor, raw: Tensor, region_seen: Tensor) -> dict[str, float]:
    """The share of the map that lies on the class's cells; and the same, divided by what the map's coarse grid allows.

    relevance    (H, W)  the map on the network's input; what is below 0 is cut off
    raw          (h, w)  the map on its own grid
    region_seen  (H, W)  bool: the cells that show the class
    returns      both 0 to 1 (the second a little above at best), chance level the cells' share of the mosaic; a map
                 without anything above 0 is 0, as in the authors' code. The second is the score to compare layers of
                 different resolution by
    """
    positive = relevance.double().nan_to_num(nan=0.0).clamp_min(0).cpu()
    total = float(positive.sum())
    region = region_seen.cpu()
    if not bool(region.any()):
        return {"grid_pointing": float("nan"), "grid_pointing_of_ceiling": float("nan")}
    score = float(positive[region].sum()) / total if total > MIN_SUM else 0.0
    height, width = raw.shape
    return {"grid_pointing": score, "grid_pointing_of_ceiling": score / ceiling(region, (height, width))}
