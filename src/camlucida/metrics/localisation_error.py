"""Localisation error of ILSVRC's weakly supervised localisation."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.regions import Rule, iou, is_rankable, largest_box, threshold_map
from camlucida.metrics.registry import MetricOutput, metric, preset


@metric(
    paper="Russakovsky et al., IJCV 2015 (localisation error); boxes as in Zhou et al., CVPR 2016, sec. 3.2 "
    "and Selvaraju et al., ICCV 2017, sec. 4.1",
    deviation="one map per image, that of the true class, instead of five: the rank of the class and the box of its "
    "map determine the error",
    outputs={
        "localisation_error_known": MetricOutput("low", worst=1.0),
        "localisation_error_top1": MetricOutput("low", worst=1.0),
        "localisation_error_top5": MetricOutput("low", worst=1.0),
    },
)
def localisation_error(
    display_map: Tensor,
    boxes: Tensor,
    label: int,
    logits: Tensor,
    target: int,
    *,
    threshold: float = 0.15,
    region: Rule = "component",
    overlap: float = 0.5,
) -> dict[str, float]:
    """Report whether the map's box misses the object, given the class or a top-1 or top-5 prediction.

    Requires the map of the true class (`target="true"`); the map of another class cannot be scored. A wrong prediction
    is an error regardless of the map.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        boxes: `(n, 4)` the true boxes in pixels of the original image, right and bottom exclusive.
        label: The true class.
        logits: `(k,)` the class scores of the model.
        target: The explained class.
        threshold: Fraction of the map's maximum that a pixel of the region must reach, in (0, 1].
        region: Which region counts as the largest: "component", "contour", "rectangle" or "everything", see
            `camlucida.metrics.common.regions.Rule`.
        overlap: IoU with a true box from which a box counts as a hit.

    Returns:
        0 (hit) or 1 (miss) for each of `localisation_error_known`, `_top1` and `_top5`; the mean over images is the
        error rate. With five classes or fewer the true class is always among the top five, so that `_top5` equals
        `_known` and says nothing about the predictions. There is no chance level: a box that covers the whole image
        misses objects that cover less than `overlap` of it.
    """
    missed = float("nan")
    if is_rankable(display_map) and target == label:
        box = largest_box(threshold_map(display_map, threshold), region)
        missed = float(iou(box[None], boxes.double()).max() < overlap)
    n_higher = int((logits > logits[label]).sum()) + int((logits[:label] == logits[label]).sum())
    return {
        "localisation_error_known": missed,
        "localisation_error_top1": missed if n_higher < 1 else 1.0,
        "localisation_error_top5": missed if n_higher < 5 else 1.0,
    }


preset("loc/gradcam2017", localisation_error, threshold=0.15, region="component", overlap=0.5)
preset("loc/cam2016", localisation_error, threshold=0.20, region="component", overlap=0.5)
