"""How often the object is not found, or not by its name: ILSVRC's weakly supervised localisation."""

from __future__ import annotations

from torch import Tensor

from camlucida.metrics.common.regions import Rule, iou, is_rankable, largest_box, threshold_map
from camlucida.metrics.registry import MetricOutput, metric, preset


@metric(
    paper="Russakovsky et al., IJCV 2015 (localisation error); boxes as of Zhou et al., CVPR 2016, sec. 3.2 "
    "and Selvaraju et al., ICCV 2017, sec. 4.1",
    deviation="one map a picture, that of the true class, instead of five: the class is found in the ranking and the "
    "place in its map, which is all that decides",
    outputs={
        "localisation_error_known": MetricOutput("low", worst=1.0),
        "localisation_error_top1": MetricOutput("low", worst=1.0),
        "localisation_error_top5": MetricOutput("low", worst=1.0),
    },
)
def localisation_error(
    shown: Tensor,
    boxes: Tensor,
    label: int,
    logits: Tensor,
    target: int,
    *,
    threshold: float = 0.15,
    region: Rule = "component",
    overlap: float = 0.5,
) -> dict[str, float]:
    """Whether the map's box misses the object (1) or not (0): given its class, if it is the answer, if in the top five.

    Needs the map of the true class (`target="label"`). The map of another class cannot be judged; a wrong answer counts
    as an error whatever the map.

    shown      (height, width)  the map on the original picture, at least 0
    boxes      (n, 4)           the true boxes, in its pixels, right and bottom exclusive
    label      the true class
    logits     (k,)             what the model says
    target     the class that the map is about
    threshold  share of the map's maximum that a pixel of the region has at least, in (0, 1]
    region     what the largest region is: component, contour, rectangle or everything, see `parts/regions.py`
    overlap    intersection over union with a true box that makes a hit
    returns    0 or 1 each; the mean over pictures is the error. No chance level: the box of the whole picture misses
               objects smaller than `overlap` of it
    """
    missed = float("nan")
    if is_rankable(shown) and target == label:
        box = largest_box(threshold_map(shown, threshold), region)
        missed = float(iou(box[None], boxes.double()).max() < overlap)
    n_higher = int((logits > logits[label]).sum()) + int((logits[:label] == logits[label]).sum())
    return {
        "localisation_error_known": missed,
        "localisation_error_top1": missed if n_higher < 1 else 1.0,
        "localisation_error_top5": missed if n_higher < 5 else 1.0,
    }


preset("loc/gradcam2017", localisation_error, threshold=0.15, region="component", overlap=0.5)
preset("loc/cam2016", localisation_error, threshold=0.20, region="component", overlap=0.5)
