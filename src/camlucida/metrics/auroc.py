"""How likely a pixel of the object is higher than one beside it."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Fawcett, Pattern Recognition Letters 2006, sec. 7: area under the receiver operating characteristic",
    outputs=MetricOutput("high"),
)
def auroc(shown: Tensor, region: Tensor) -> float:
    """How likely a pixel of the object is higher in the map than a pixel beside it; equal ones count a half.

    shown    (height, width)  the map on the original picture, at least 0
    region   (height, width)  bool: the object
    returns  0 to 1, chance level 0.5
    """
    if not is_rankable(shown) or not bool(region.any()) or bool(region.all()):
        return float("nan")
    object_, background = shown[region], shown[~region].sort().values
    below = torch.searchsorted(background, object_.contiguous(), right=False)
    not_above = torch.searchsorted(background, object_.contiguous(), right=True)
    return float((below + not_above).double().mean() / (2 * len(background)))
