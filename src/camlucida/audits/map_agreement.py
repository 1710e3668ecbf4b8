"""Rank correlation between the maps of an audit: of two classes, of two methods, of two models."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.audits.audit_result import Audit

Floats = NDArray[np.float64]

IMAGES_PER_STEP = 8192


def map_correlations(first: NDArray[np.float16], second: NDArray[np.float16]) -> Floats:
    """Return Spearman's rank correlation `(n,)` between maps `(n, h, w)` of the same images.

    Maps on different grids are averaged on a common one first, with the smaller height and width of both.

    Returns:
        The correlations, in [-1, 1]; NaN where a map is missing or constant.
    """
    if not first.size or not second.size:
        return np.full(len(first), np.nan)
    grid = min(first.shape[1], second.shape[1]), min(first.shape[2], second.shape[2])
    correlations = np.full(len(first), np.nan)
    for start in range(0, len(first), IMAGES_PER_STEP):
        step = slice(start, start + IMAGES_PER_STEP)
        correlations[step] = _row_correlations(_on_grid(first[step], grid), _on_grid(second[step], grid))
    return correlations


def class_agreement(audit: Audit, method: str | None = None) -> Floats:
    """Return the rank correlation `(n,)` between the maps of the predicted and of the competing class."""
    return map_correlations(audit.maps(method, "predicted"), audit.maps(method, "competing"))


def method_agreement(audit: Audit, method: str) -> Floats:
    """Return the rank correlation `(n,)` between the maps of the audit's first method and of another one."""
    return map_correlations(audit.maps(None, "predicted"), audit.maps(method, "predicted"))


def _on_grid(maps: NDArray[np.float16], grid: tuple[int, int]) -> Floats:
    """Return maps `(n, h, w)` averaged on another grid and flattened, `(n, cells)`."""
    if maps.shape[1:] != grid:
        averaged = F.adaptive_avg_pool2d(torch.from_numpy(maps.astype(np.float32))[:, None], grid)
        return averaged.numpy().reshape(len(maps), -1).astype(np.float64)
    return maps.reshape(len(maps), -1).astype(np.float64)


def _row_correlations(first: Floats, second: Floats) -> Floats:
    """Return Spearman's correlation of each row of two matrices `(n, cells)`."""
    stats = need("scipy.stats", extra="analysis", what="the agreement of maps")
    usable = np.flatnonzero(np.isfinite(first).all(1) & np.isfinite(second).all(1))
    correlations = np.full(len(first), np.nan)
    if not len(usable) or first.shape[1] < 2:
        return correlations
    ranks = [stats.rankdata(each[usable], axis=1) for each in (first, second)]
    centered = [each - each.mean(1, keepdims=True) for each in ranks]
    norms = np.linalg.norm(centered[0], axis=1) * np.linalg.norm(centered[1], axis=1)
    products = (centered[0] * centered[1]).sum(1)
    correlations[usable] = np.divide(products, norms, out=np.full(len(usable), np.nan), where=norms > 0)
    return correlations
