"""Whether the map of a class prefers its object to those of other classes."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="none; the question of Selvaraju et al., ICCV 2017, sec. 5.1 (class discrimination), which people answered "
    "there, asked of two masks",
    outputs={
        "class_discrimination": MetricOutput("high"),
        "class_share": MetricOutput("high"),
    },
)
def class_discrimination(shown: Tensor, region: Tensor, other_objects_mask: Tensor) -> dict[str, float]:
    """Whether a pixel of the class's object gets more of the map than one of another class's object.

    shown    (height, width)  the map on the original picture, at least 0
    region   (height, width)  bool: the object of the class that is asked for
    other_objects_mask  (height, width)  bool: the objects of other classes
    returns  class_discrimination 1 or 0 (0.5 where both get the same); class_share, 0 to 1, how much of what a pixel
             of each gets is the object's. Chance level of both is 0.5. A map with nothing on either cannot be judged
    """
    object_only, others_only = region & ~other_objects_mask, other_objects_mask & ~region
    if not bool(object_only.any()) or not bool(others_only.any()):
        return {"class_discrimination": float("nan"), "class_share": float("nan")}
    object_mean, others_mean = float(shown.double()[object_only].mean()), float(shown.double()[others_only].mean())
    if not object_mean + others_mean > 0:
        return {"class_discrimination": float("nan"), "class_share": float("nan")}
    wins = (
        0.5
        if abs(object_mean - others_mean) <= 1e-9 * (object_mean + others_mean)
        else float(object_mean > others_mean)
    )
    return {"class_discrimination": wins, "class_share": object_mean / (object_mean + others_mean)}
