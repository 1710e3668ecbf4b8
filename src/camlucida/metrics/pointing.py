"""Pointing game: whether the map's maximum lies on the object."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.pointing import Ties, argmax_position, is_within
from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric, preset


@metric(
    paper="Zhang et al., ECCV 2016 (the pointing game); tolerance and mean over classes as in TorchRay",
    deviation="a constant map cannot be scored and counts as a miss, where TorchRay's code uses its first pixel; ties "
    "are resolved at random (preset `point/torchray`: the first pixel)",
    aliases=["pointing_game"],
    outputs=MetricOutput("high", mean="classes"),
)
def pointing(
    display_map: Tensor, region: Tensor, random: torch.Generator, *, tolerance: float = 15.0, ties: Ties = "random"
) -> float:
    """Report whether the map's maximum lies on or close to the object (pointing game).

    The mean over a data set is taken within each class first, then over classes. Called `pointing_game` elsewhere.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        region: `(height, width)` bool mask of the object, or of its boxes where there is no mask.
        random: Generator for ties.
        tolerance: Distance in pixels of the original image; a hit is closer to the object than this, and 1 requires a
            pixel of the object. Use less than the default for small images.
        ties: Which of several maxima counts: "random", or "first" in reading order.

    Returns:
        0 or 1. The chance level is the fraction of the image within the tolerance; the image centre scores 69.6 % on
        VOC 2007.
    """
    if not is_rankable(display_map) or not bool(region.any()):
        return float("nan")
    return float(is_within(region, argmax_position(display_map, ties, random), tolerance))


preset("point/torchray", pointing, tolerance=15.0, ties="first")
