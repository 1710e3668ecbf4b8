"""PxAP: pixel average precision over a whole data set."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.regions import is_rankable
from camlucida.metrics.registry import DatasetReduction, MetricOutput, Score, metric

N_BINS = 256


def pixel_average_precision(histograms: Tensor) -> Tensor:
    """Compute PxAP from mean histograms `(..., 512)`: the sum over thresholds of (R_k - R_(k-1)) P_k.

    Returns:
        PxAP `(...)`; NaN without object pixels.
    """
    object_, background = histograms.view(*histograms.shape[:-1], 2, N_BINS).flip(-1).cumsum(-1).unbind(-2)
    precision = (object_ / (object_ + background)).nan_to_num(nan=0.0)
    recall_steps = object_.diff(dim=-1, prepend=torch.zeros_like(object_[..., :1]))
    precision_sum: Tensor = (precision * recall_steps).sum(-1) / object_[..., -1]
    return precision_sum


PXAP_REDUCTION = DatasetReduction(lambda histograms: histograms, pixel_average_precision)


@metric(
    paper="Choe et al., CVPR 2020: PxPrec(tau), PxRec(tau), PxAP = sum_l PxPrec(tau_l) (PxRec(tau_l) - "
    "PxRec(tau_(l-1)))",
    deviation="the map is divided by its maximum, on the original image, with 256 thresholds; theirs is min-max "
    "scaled, on the network input, with 1000. No pixels are left out",
    outputs=MetricOutput("high", pool=PXAP_REDUCTION),
)
def pxap(display_map: Tensor, region: Tensor) -> Score:
    """Compute the average precision of object pixels, with thresholds shared by all images.

    `PxAP = sum_l PxPrec(tau_l) (PxRec(tau_l) - PxRec(tau_(l-1)))` (Choe et al., 2020).

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        region: `(height, width)` bool mask of the object.

    Returns:
        0 to 1; the chance level is the fraction of the image that the object covers. The data set's value is computed
        from the mean of the histograms `(512,)` of all images: the number of object pixels, then of background pixels,
        in each of 256 bins of the fraction of the map's maximum. A map that cannot be ranked counts as 0 at all
        positions.
    """
    valid = is_rankable(display_map)
    levels = (
        (255 * display_map.double() / display_map.max().double()).floor().long()
        if valid
        else torch.zeros_like(region).long()
    )
    curve = torch.bincount((levels + N_BINS * (~region)).flatten(), minlength=2 * N_BINS).double()
    return Score(PXAP_REDUCTION(curve[None]) if valid else float("nan"), curve)
