"""Energy-based pointing game: the fraction of the map that lies on the object."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Wang et al., CVPR workshop 2020, sec. 4.2 (energy-based pointing game): E = sum_(region) L / sum L",
    deviation="a map of zeros and an image without the object cannot be scored",
    aliases=["energy_pointing_game"],
    outputs={
        "energy": MetricOutput("high"),
        "energy_lift": MetricOutput("high", worst=0.0),
    },
)
def energy(display_map: Tensor, region: Tensor) -> dict[str, float]:
    """Compute the fraction of the map's sum on the object, and its ratio to the object's area fraction.

    `E = sum_(region) L / sum L` (Wang et al., 2020). Called `energy_pointing_game` elsewhere.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        region: `(height, width)` bool mask of the object.

    Returns:
        `energy`, 0 to 1; its chance level is the fraction of the image that the object covers. `energy_lift`, `energy`
        divided by that fraction; chance level 1.
    """
    total = float(display_map.double().sum())
    inside = float(display_map.double()[region].sum())
    area = float(region.double().mean())
    if not total > 0 or not area > 0:
        return {"energy": float("nan"), "energy_lift": float("nan")}
    return {"energy": inside / total, "energy_lift": inside / total / area}
