"""Comparison of several maps of one image: where they differ, and how well they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camlucida.errors import MethodError
from camlucida.maps import spearman_matrix


def disagreement(maps: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Return the standard deviation over the positive parts of maps, each divided by its maximum.

    Args:
        maps: Maps `(height, width)` on the original image, NaN outside the network input.

    Returns:
        The standard deviation `(height, width)`, from 0 (all maps are equal) to 0.5; NaN where a map is NaN.

    Raises:
        MethodError: There is only one map.
    """
    _check_several(maps)
    map_sum, square_sum = np.zeros_like(maps[0], dtype=np.float64), np.zeros_like(maps[0], dtype=np.float64)
    for map_ in maps:
        saliency = np.clip(map_, 0, None, dtype=np.float64)  # keeps NaN
        saliency /= np.nanmax(saliency, initial=0.0) or 1.0
        map_sum += saliency
        square_sum += saliency**2
    variance = square_sum / len(maps) - (map_sum / len(maps)) ** 2
    return np.sqrt(np.clip(variance, 0, None)).astype(np.float32)


def rank_correlation(maps: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return Spearman's rank correlation `(n, n)` between all pairs of maps, over the positions that all maps cover.

    Maps of two networks need not cover the same region of an image, since their preprocessing may crop it differently.
    Equal values share the mean of their ranks. The correlation is NaN for a constant map.

    Args:
        maps: Maps `(height, width)` on the original image, NaN outside the network input.

    Raises:
        MethodError: There is only one map.
    """
    _check_several(maps)
    valid = ~np.logical_or.reduce([np.isnan(each) for each in maps])
    values = torch.from_numpy(np.stack([each[valid] for each in maps]))
    correlations: NDArray[np.float64] = spearman_matrix(values).numpy()
    return correlations


def _check_several(maps: Sequence[NDArray[Any]]) -> None:
    if len(maps) < 2:
        raise MethodError(
            f"a comparison requires at least two maps, not {len(maps)}: request several methods, layers or targets, "
            "such as method=['grad_cam', 'layer_cam']."
        )
