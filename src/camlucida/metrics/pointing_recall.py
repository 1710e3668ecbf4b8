"""Pointing game with recall: whether maps of the top classes point at objects, and reject absent classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from camlucida.metrics.common.pointing import Ties, argmax_position, is_within
from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Selvaraju et al., ICCV 2017 (pointing game with recall): maps of the top five classes; the map of an "
    "absent class should stay below a threshold",
    deviation="on the network input; the threshold is an option (the paper chooses it on a validation set); classes "
    "that are present at an unknown position are left out",
    outputs=MetricOutput("high"),
)
def pointing_recall(
    explain_class: Callable[[Sequence[int]], Tensor],
    logits: Tensor,
    label: int,
    present_classes: Sequence[int],
    input_region: Tensor,
    random: torch.Generator,
    *,
    top: int = 5,
    threshold: float = 0.0,
    tolerance: float = 15.0,
    ties: Ties = "random",
) -> float:
    """Compute the fraction of top classes whose map hits the object if present, or is rejected if absent.

    Args:
        explain_class: Computes the maps `(n, H, W)` of given classes on the network input.
        logits: `(k,)` the class scores of the model.
        label: The true class, whose location is known.
        present_classes: All classes that the image shows.
        input_region: `(H, W)` bool mask of the object on the network input.
        random: Generator for ties.
        top: Number of most probable classes that are evaluated.
        threshold: A class is rejected if its map does not exceed this value anywhere, in the map's own units.
        tolerance: Distance in pixels of the network input; a hit is closer to the object than this, and 1 requires a
            pixel of the object.
        ties: Which of several maxima counts: "random", or "first" in reading order.

    Returns:
        0 to 1; a map that never rejects and always points at the object scores 1/`top`.
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
        elif not bool(input_region.any()):
            continue
        else:
            on_object = not rejected and is_rankable(saliency)
            correct.append(on_object and is_within(input_region, argmax_position(saliency, ties, random), tolerance))
    return sum(correct) / len(correct) if correct else float("nan")
