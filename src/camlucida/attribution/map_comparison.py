"""Where several maps of one picture differ, and how much they agree: arithmetic on landed maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camlucida.errors import MethodError
from camlucida.maps import spearman_matrix


def disagreement(maps: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """The standard deviation, place by place, over the maps' positive parts, each divided by its maximum.

    landed    maps (height, width) of one picture, NaN where the network did not look
    returns   (height, width) from 0, where all maps say the same, to 0.5; NaN stays NaN
    """
    _check_several(maps)
    map_sum, square_sum = np.zeros_like(maps[0], dtype=np.float64), np.zeros_like(maps[0], dtype=np.float64)
    for map_ in maps:
        saliency = np.clip(map_, 0, None, dtype=np.float64)  # NaN stays
        saliency /= np.nanmax(saliency, initial=0.0) or 1.0
        map_sum += saliency
        square_sum += saliency**2
    variance = square_sum / len(maps) - (map_sum / len(maps)) ** 2
    return np.sqrt(np.clip(variance, 0, None)).astype(np.float32)


def rank_correlation(maps: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Spearman's rank correlation between all pairs of maps, over the places that were seen in all of them.

    Maps of two networks need not cover the same part of a picture: one may crop it where the other does not.

    Equal values share the mean of their ranks. 1 for the same order of places, -1 for the opposite one, NaN where a
    map is the same everywhere and so has no order.
    """
    _check_several(maps)
    valid = ~np.logical_or.reduce([np.isnan(each) for each in maps])
    values = torch.from_numpy(np.stack([each[valid] for each in maps]))
    correlations: NDArray[np.float64] = spearman_matrix(values).numpy()
    return correlations


def _check_several(maps: Sequence[NDArray[Any]]) -> None:
    if len(maps) < 2:
        raise MethodError(
            f"{len(maps)} map is nothing to compare: ask for several methods, layers or targets, "
            "such as method=['grad_cam', 'layer_cam']."
        )
