"""Offset between the map's centre of mass and the object's, which shows systematic shifts over many images."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.ranking import require_image
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="none; measures translation equivariance on images in which one object is moved",
    aliases=["center_of_mass_distance"],
    outputs={
        "centre_offset": MetricOutput("low", worst=1.0),
        "centre_offset_x": MetricOutput("neither"),
        "centre_offset_y": MetricOutput("neither"),
    },
)
def centre_offset(display_map: Tensor, region: Tensor) -> dict[str, float]:
    """Compute the distance between the map's centre of mass and the object's centre of mass.

    Called `center_of_mass_distance` elsewhere.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        region: `(height, width)` bool mask of the object.

    Returns:
        `centre_offset`, 0 to 1, as a fraction of the image diagonal; `centre_offset_x` and `centre_offset_y` in pixels,
        positive to the right and down. Averaged over object positions that cover the image, x and y are 0 for a
        correctly aligned map; a map that was upsampled with aligned corners is off by up to (stride - 1) / 2.
    """
    weights = display_map.double()
    total, area = weights.sum(), region.double().sum()
    if not float(total) > 0 or not float(area) > 0 or not bool(weights.isfinite().all()):
        return {"centre_offset": float("nan"), "centre_offset_x": float("nan"), "centre_offset_y": float("nan")}
    require_image(display_map, "centre_offset")
    height, width = display_map.shape
    y, x = (torch.arange(n, device=display_map.device, dtype=torch.float32) + 0.5 for n in (height, width))
    down, across = (
        float((weights.sum(axis) * positions).sum() / total - (region.double().sum(axis) * positions).sum() / area)
        for axis, positions in ((1, y), (0, x))
    )
    distance = (down**2 + across**2) ** 0.5 / (height**2 + width**2) ** 0.5
    return {"centre_offset": distance, "centre_offset_x": across, "centre_offset_y": down}
