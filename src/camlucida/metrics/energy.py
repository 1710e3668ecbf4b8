"""How much of the map lies on the object."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Wang et al., CVPR workshop 2020, sec. 4.2 (energy-based pointing game): E = sum_(region) L / sum L",
    deviation="a map that is 0 everywhere, or a picture without the object, cannot be judged, and is counted as such",
    outputs={
        "energy": MetricOutput("high"),
        "energy_lift": MetricOutput("high", worst=0.0),
    },
)
def energy(shown: Tensor, region: Tensor) -> dict[str, float]:
    """The share of the map's sum that lies on the object; and how many times the object's share of the picture that is.

    shown    (height, width)  the map on the original picture, at least 0
    region   (height, width)  bool: the object
    returns  energy from 0 to 1, chance level the object's share of the picture; energy_lift, chance level 1
    """
    total = float(shown.double().sum())
    inside = float(shown.double()[region].sum())
    area = float(region.double().mean())
    if not total > 0 or not area > 0:
        return {"energy": float("nan"), "energy_lift": float("nan")}
    return {"energy": inside / total, "energy_lift": inside / total / area}
