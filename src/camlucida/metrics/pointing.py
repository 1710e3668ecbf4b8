"""Whether the map's highest point is on the object."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.pointing import Ties, argmax_position, is_within
from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric, preset


@metric(
    paper="Zhang et al., ECCV 2016 (the pointing game); tolerance and mean over classes as in TorchRay",
    deviation="a map that is the same everywhere cannot be judged and counts as a miss; the code of TorchRay takes its "
    "first pixel. Ties are drawn, the preset `point/torchray` takes the first",
    outputs=MetricOutput("high", mean="classes"),
)
def pointing(
    shown: Tensor, region: Tensor, random: torch.Generator, *, tolerance: float = 15.0, ties: Ties = "random"
) -> float:
    """Whether the map's highest point lies on the object or close to it: 1 or 0. The mean is over classes.

    shown      (height, width)  the map on the original picture, at least 0
    region     (height, width)  bool: the object; its boxes where no mask is known
    random     for ties
    tolerance  in pixels of the original picture: a hit is less than so far from the object, 1 is on it. Small pictures
               want less than the default
    ties       "random", or "first" in reading order
    returns    0 or 1; chance level the share of the picture that lies so close to the object. The centre scores 69.6 %
               on VOC 2007
    """
    if not is_rankable(shown) or not bool(region.any()):
        return float("nan")
    return float(is_within(region, argmax_position(shown, ties, random), tolerance))


preset("point/torchray", pointing, tolerance=15.0, ties="first")
