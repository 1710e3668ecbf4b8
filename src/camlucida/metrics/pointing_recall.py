"""Whether maps of the likeliest classes point at what is there, and reject what is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from camlucida.metrics.common.pointing import Ties, argmax_position, is_within
from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Selvaraju et al., ICCV 2017 (pointing game with recall): maps of the top five classes; of a class "
    "that is not there the map shall stay below a threshold",
    deviation="on the network's input; the threshold is an option (the paper chooses it on a validation set); classes "
    "that are there, but at a place that is not known, are left out",
    outputs=MetricOutput("high"),
)
def pointing_recall(
    explain_class: Callable[[Sequence[int]], Tensor],
    logits: Tensor,
    label: int,
    present_classes: Sequence[int],
    region_seen: Tensor,
    random: torch.Generator,
    *,
    top: int = 5,
    threshold: float = 0.0,
    tolerance: float = 15.0,
    ties: Ties = "random",
) -> float:
    """The share of the likeliest classes whose map points at the object if it is there, and at nothing if not.

    explain_class  classes -> maps (n, H, W) on the network's input
    logits         (k,) what the model says
    label          the true class, whose place is known
    present        all classes that are there
    region_seen    (H, W) bool: the object as the network sees it
    random         for ties
    top            how many classes
    threshold      a class is rejected if its map is nowhere above this, in the map's own units
    tolerance      in pixels of the network's input: a hit is less than so far from the object, 1 is on it
    ties           "random", or "first" in reading order
    returns        0 to 1; a map that never rejects and always points at the object scores 1/`top`
    """
    likeliest = logits.argsort(descending=True, stable=True)[:top].tolist()
    judged_classes = [k for k in likeliest if k == label or k not in present_classes]
    if not judged_classes:
        return float("nan")
    correct = []
    for k, saliency in zip(judged_classes, explain_class(judged_classes).cpu(), strict=True):
        rejected = not float(saliency.max()) > threshold
        if k != label:
            correct.append(rejected)
        elif not bool(region_seen.any()):
            continue
        else:
            on_object = not rejected and is_rankable(saliency)
            correct.append(on_object and is_within(region_seen, argmax_position(saliency, ties, random), tolerance))
    return sum(correct) / len(correct) if correct else float("nan")
