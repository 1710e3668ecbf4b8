"""Similarity of two maps: SSIM and histograms of oriented gradients. NaN if one of the maps is constant."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.maps import gaussian_kernel

SSIM_WINDOW_PX, SSIM_SIGMA_PX = 11, 1.5
"""Size and standard deviation of SSIM's Gaussian window, as in Wang et al. (2004)."""

K1, K2 = 0.01, 0.03

N_ORIENTATIONS = 9


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Compute the mean structural similarity `(n,)` of maps `(n, h, w)`, each scaled to [0, 1].

    Wang et al., TIP 2004, eq. 13, with a Gaussian window of 11 x 11 pixels, sigma 1.5, at positions where it fits
    entirely.
    """
    a, b = (_minmax_scale(x)[:, None] for x in (first, second))
    side = min(SSIM_WINDOW_PX, *first.shape[1:])
    line = gaussian_kernel(SSIM_SIGMA_PX, (side - 1) // 2).to(a)
    window = (line[:, None] * line)[None, None]

    def local_mean(x: Tensor) -> Tensor:
        return F.conv2d(x, window)

    mean_a, mean_b = local_mean(a), local_mean(b)
    var_a, var_b = local_mean(a * a) - mean_a**2, local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    c1, c2 = K1**2, K2**2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return (numerator / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean((1, 2, 3))


def hog(maps: Tensor, *, cell: int = 16) -> Tensor:
    """Compute histograms of oriented gradients `(n, features)` of maps `(n, h, w)`.

    Dalal & Triggs, CVPR 2005, with one normalisation per map and 9 unsigned orientations.

    Args:
        maps: `(n, h, w)` the maps.
        cell: Side of a cell in pixels.
    """
    x = _minmax_scale(maps)
    down, right = torch.gradient(x, dim=(1, 2))
    angle = (torch.atan2(down, right) % math.pi) / math.pi * N_ORIENTATIONS
    bins = F.one_hot(angle.long().clamp(0, N_ORIENTATIONS - 1), N_ORIENTATIONS).to(x).permute(0, 3, 1, 2)
    weighted = bins * (down**2 + right**2).sqrt()[:, None]
    side = min(cell, *maps.shape[1:])
    return F.avg_pool2d(weighted, side, ceil_mode=True, count_include_pad=False).flatten(1)


def _minmax_scale(maps: Tensor) -> Tensor:
    """Scale each map to [0, 1] in float64; NaN for a constant map."""
    maps = maps.double()
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    extent = high - low
    return (maps - low) / extent.where(extent > 0, torch.nan)
