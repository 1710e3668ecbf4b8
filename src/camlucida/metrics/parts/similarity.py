"""How alike two maps are: by rank, by structure, by the edges in them. NaN where one of them is the same everywhere."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
"""Of SSIM's Gaussian window, as Wang et al. (2004) have it."""

K1, K2 = 0.01, 0.03

ORIENTATIONS = 9


def ranks(values: Tensor) -> Tensor:
    """Ranks (n, m) of values (n, m) within each row, from 0; equal values share the mean of their ranks. float64."""
    ordered, order = values.double().sort(dim=1)
    place = torch.arange(values.shape[1], dtype=torch.float64, device=values.device).expand_as(ordered)
    begins = torch.ones_like(ordered, dtype=torch.bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = begins.long().cumsum(1) - 1
    zeros = torch.zeros_like(ordered)
    mean = zeros.scatter_add(1, group, place) / zeros.scatter_add(1, group, torch.ones_like(place)).clamp_min(1)
    return zeros.scatter(1, order, mean.gather(1, group))


def pearson(one: Tensor, other: Tensor) -> Tensor:
    """The correlation (n,) of the rows of two (n, m)."""
    one, other = (x.double() - x.double().mean(1, keepdim=True) for x in (one, other))
    sizes = one.norm(dim=1) * other.norm(dim=1)
    found: Tensor = (one * other).sum(1) / sizes.where(sizes > 0, torch.nan)
    return found


def spearman(one: Tensor, other: Tensor) -> Tensor:
    """The rank correlation (n,) of maps (n, h, w), -1 to 1."""
    return pearson(ranks(one.flatten(1)), ranks(other.flatten(1)))


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural similarity (n,) of maps (n, h, w), each stretched to 0..1: Wang et al., TIP 2004, eq. 13, their mean.

    Gaussian window of 11 x 11, sigma 1.5, where it fits whole.
    """
    a, b = (_stretched(x)[:, None] for x in (one, other))
    side = min(WINDOW, *one.shape[1:])
    window = _gaussian(side - (side + 1) % 2).to(a)[None, None]

    def around(x: Tensor) -> Tensor:
        return F.conv2d(x, window)

    mean_a, mean_b = around(a), around(b)
    var_a, var_b = around(a * a) - mean_a**2, around(b * b) - mean_b**2
    covariance = around(a * b) - mean_a * mean_b
    c1, c2 = K1**2, K2**2
    found = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return (found / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean((1, 2, 3))


def hog(maps: Tensor, *, cell: int = 16) -> Tensor:
    """Histograms of oriented gradients (n, features) of maps (n, h, w): Dalal & Triggs, CVPR 2005, one norm a map.

    cell   of pixels; 9 orientations without sign
    """
    x = _stretched(maps)
    down, right = torch.gradient(x, dim=(1, 2))
    angle = (torch.atan2(down, right) % math.pi) / math.pi * ORIENTATIONS
    bins = F.one_hot(angle.long().clamp(0, ORIENTATIONS - 1), ORIENTATIONS).to(x).permute(0, 3, 1, 2)
    weighted = bins * (down**2 + right**2).sqrt()[:, None]
    side = min(cell, *maps.shape[1:])
    return F.avg_pool2d(weighted, side, ceil_mode=True, count_include_pad=False).flatten(1)


def _stretched(maps: Tensor) -> Tensor:
    """From 0 to 1 each; NaN where it is the same everywhere. float64."""
    maps = maps.double()
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    width = high - low
    return (maps - low) / width.where(width > 0, torch.nan)


def _gaussian(side: int) -> Tensor:
    x = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    line = (-(x**2) / (2 * SIGMA**2)).exp()
    window = line[:, None] * line
    return window / window.sum()
