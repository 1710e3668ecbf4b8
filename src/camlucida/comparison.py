"""Where several maps of one picture differ, and how much they agree: arithmetic on landed maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camlucida.errors import MethodError
from camlucida.tensors import spearman_matrix


def disagreement(landed: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """The standard deviation, place by place, over the maps' positive parts, each divided by its maximum.

    landed    maps (height, width) of one picture, NaN where the network did not look
    returns   (height, width) from 0, where all maps say the same, to 0.5; NaN stays NaN
    """
    _check(landed)
    total, squares = np.zeros_like(landed[0], dtype=np.float64), np.zeros_like(landed[0], dtype=np.float64)
    for each in landed:
        heat = np.clip(each, 0, None, dtype=np.float64)  # NaN stays
        heat /= np.nanmax(heat, initial=0.0) or 1.0
        total += heat
        squares += heat**2
    variance = squares / len(landed) - (total / len(landed)) ** 2
    return np.sqrt(np.clip(variance, 0, None)).astype(np.float32)


def rank_correlation(landed: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Spearman's rank correlation between all pairs of maps, over the places that were seen in all of them.

    Maps of two networks need not cover the same part of a picture: one may crop it where the other does not.

    Equal values share the mean of their ranks. 1 for the same order of places, -1 for the opposite one, NaN where a
    map is the same everywhere and so has no order.
    """
    _check(landed)
    seen = ~np.logical_or.reduce([np.isnan(each) for each in landed])
    values = torch.from_numpy(np.stack([each[seen] for each in landed]))
    correlations: NDArray[np.float64] = spearman_matrix(values).numpy()
    return correlations


def _check(landed: Sequence[NDArray[Any]]) -> None:
    if len(landed) < 2:
        raise MethodError(
            f"{len(landed)} map is nothing to compare: ask for several methods, layers or targets, "
            "such as method=['grad_cam', 'layer_cam']."
        )
