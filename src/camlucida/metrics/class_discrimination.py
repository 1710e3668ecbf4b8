"""Class discrimination: whether the map of a class prefers its object to objects of other classes."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="none; class discrimination as in Selvaraju et al., ICCV 2017, sec. 5.1, measured with two masks instead of "
    "by participants",
    outputs={
        "class_discrimination": MetricOutput("high"),
        "class_share": MetricOutput("high"),
    },
)
def class_discrimination(display_map: Tensor, region: Tensor, other_objects_mask: Tensor) -> dict[str, float]:
    """Compare the mean map value on the target's object with the mean on objects of other classes.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        region: `(height, width)` bool mask of the target class's object.
        other_objects_mask: `(height, width)` bool mask of the objects of other classes.

    Returns:
        `class_discrimination`: 1 if the mean on the target's object is higher, 0 if lower, 0.5 if equal. `class_share`:
        the mean on the target's object divided by the sum of both means, 0 to 1. The chance level of both is 0.5. NaN
        if the map is zero on both.
    """
    object_only, others_only = region & ~other_objects_mask, other_objects_mask & ~region
    if not bool(object_only.any()) or not bool(others_only.any()):
        return {"class_discrimination": float("nan"), "class_share": float("nan")}
    object_mean, others_mean = (
        float(display_map.double()[object_only].mean()),
        float(display_map.double()[others_only].mean()),
    )
    if not object_mean + others_mean > 0:
        return {"class_discrimination": float("nan"), "class_share": float("nan")}
    wins = (
        0.5
        if abs(object_mean - others_mean) <= 1e-9 * (object_mean + others_mean)
        else float(object_mean > others_mean)
    )
    return {"class_discrimination": wins, "class_share": object_mean / (object_mean + others_mean)}
