"""Grid pointing game (GridPG): the fraction of the map on the mosaic cells of the target class."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from camlucida.maps import upsample
from camlucida.metrics.common.ranking import require_image
from camlucida.metrics.registry import MetricOutput, metric

MIN_SUM = 1e-7
"""A map whose sum is at most this counts as 0, as in the authors' code."""


def ceiling(region: Tensor, grid: tuple[int, int]) -> float:
    """Compute the highest score that a map of this resolution can reach once it is upsampled.

    Bilinear upsampling moves half a grid position across the region's edge: a map of 7 x 7 reaches 0.9646 in a corner
    cell.

    Args:
        region: `(H, W)` bool mask of the region at input resolution.
        grid: Height and width of the map before upsampling.

    Returns:
        The fraction of the map on the region, for a map that is constant on the region and zero elsewhere.
    """
    best = F.adaptive_avg_pool2d(region.double()[None, None], grid)[0]
    enlarged = upsample(best, (int(region.shape[0]), int(region.shape[1])))[0]
    total = float(enlarged.sum())
    return float(enlarged[region].sum()) / total if total > 0 else float("nan")


@metric(
    paper="Rao et al., CVPR 2022, eq. 1 (grid localisation): L_i = sum_(p in cell i) A+(p) / sum_p A+(p)",
    aliases=["gridpg"],
    outputs={
        "grid_pointing": MetricOutput("high"),
        "grid_pointing_of_ceiling": MetricOutput("high"),
    },
)
def grid_pointing(relevance: Tensor, raw: Tensor, input_region: Tensor) -> dict[str, float]:
    """Compute the fraction of the positive map on the target class's cells of a mosaic.

    `L_i = sum_(p in cell i) A+(p) / sum_p A+(p)` (Rao et al., 2022). Called `gridpg` elsewhere.

    Args:
        relevance: `(H, W)` the map at input resolution; negative values are clipped.
        raw: `(h, w)` the map at layer resolution.
        input_region: `(H, W)` bool mask of the cells that show the class.

    Returns:
        `grid_pointing`, 0 to 1, and `grid_pointing_of_ceiling`, the same divided by the highest value that a map of
        this resolution can reach; it can slightly exceed 1, and is the score for comparing layers of different
        resolution. The chance level of both is the fraction of the mosaic that the cells cover. A map without positive
        values scores 0, as in the authors' code.
    """
    positive = relevance.double().nan_to_num(nan=0.0).clamp_min(0).cpu()
    total = float(positive.sum())
    region = input_region.cpu()
    if not bool(region.any()):
        return {"grid_pointing": float("nan"), "grid_pointing_of_ceiling": float("nan")}
    score = float(positive[region].sum()) / total if total > MIN_SUM else 0.0
    require_image(raw, "grid_pointing")
    height, width = raw.shape
    return {"grid_pointing": score, "grid_pointing_of_ceiling": score / ceiling(region, (height, width))}
