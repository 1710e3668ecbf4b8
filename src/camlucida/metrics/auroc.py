"""AUROC: area under the ROC curve of the map as a classifier of object pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Fawcett, Pattern Recognition Letters 2006, sec. 7: area under the receiver operating characteristic",
    outputs=MetricOutput("high"),
)
def auroc(display_map: Tensor, region: Tensor) -> float:
    """Compute the probability that an object pixel has a higher map value than a background pixel.

    Equal values count one half.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        region: `(height, width)` bool mask of the object.

    Returns:
        A number in [0, 1], chance level 0.5; NaN for a constant map, or if the object is empty or fills the image.
    """
    if not is_rankable(display_map) or not bool(region.any()) or bool(region.all()):
        return float("nan")
    object_, background = display_map[region], display_map[~region].sort().values
    below = torch.searchsorted(background, object_.contiguous(), right=False)
    not_above = torch.searchsorted(background, object_.contiguous(), right=True)
    return float((below + not_above).double().mean() / (2 * len(background)))
