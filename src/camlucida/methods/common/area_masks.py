"""Smooth masks of a wanted area, for extremal perturbations."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.maps import upsample

N_CELLS = 32
"""Parameters along the shorter side: one every 7 pixels of 224, as in the authors' code."""
SIGMA_FRACTION = 21 / 224
"""Of the kernel, sigma as a share of the shorter side: theirs."""
INVERSE_TEMPERATURE = 20.0
"""1 / T of the smooth maximum: theirs."""
AREA_WEIGHT, AREA_WEIGHT_GROWTH = 300.0, 16.0
"""The weight of the area at the beginning, and how often that at the end: their 300 * 1.0035^t, t < 800."""
EQUAL_TOLERANCE = 1e-9
"""Mask values less apart than this are equal: even masks come out of the upsampling with rounding in them."""


def parameter_grid(size: tuple[int, int]) -> tuple[int, int]:
    """How many parameters there are down and across a picture of `size` pixels."""
    pixels = min(size) / min(N_CELLS, *size)
    return max(1, round(size[0] / pixels)), max(1, round(size[1] / pixels))


def smooth_mask(size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """Parameters (b, *grid_of(size)) in 0..1 in, masks (b, *size) out: smax_v k(u - v) p_v, the smooth max-convolution.

    smax f = sum f exp(f / T) / sum exp(f / T); k is 1 up to half of sigma, and falls off like a Gaussian from there.
    """
    rows, columns = parameter_grid(size)
    sigma = SIGMA_FRACTION * min(rows, columns)
    radius = 1 + math.ceil(sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    distance = (offsets[:, None].square() + offsets.square()).sqrt() / sigma
    kernel = (-2 * (distance - 0.5).clamp_min(0).square()).exp().view(1, -1, 1)

    def mask(parameters: Tensor) -> Tensor:
        # Beyond the border its own value goes on: a row of zeros there would favour corners, which have fewer rivals.
        padded = F.pad(parameters[:, None], (radius,) * 4, mode="replicate")
        neighbours = F.unfold(padded, 2 * radius + 1) * kernel.to(parameters)
        maxima = (neighbours * (INVERSE_TEMPERATURE * neighbours).softmax(1)).sum(1).view(-1, rows, columns)
        return upsample(maxima, size)

    return mask


def area_gradient(mask: Tensor, area: float, fraction_done: float) -> Tensor:
    """The gradient at masks (b, H, W) of -lambda mean (vecsort(m) - r)^2: r is 0, and 1 for the largest `area` of it.

    done    the share of the steps that are done: lambda grows with it

    Every pixel is drawn to 1 if it is among the largest, else to 0. Equal pixels share what there is: in which order
    a sort or a rounding happens to leave them must not say where the patch is.
    """
    values = mask.detach().flatten(1)
    pixels = values.shape[1]
    levels = (values / EQUAL_TOLERANCE).round()
    sorted_levels, n_outside = levels.sort(1).values, round(pixels * (1 - area))
    first, after = torch.searchsorted(sorted_levels, levels), torch.searchsorted(sorted_levels, levels, right=True)
    target = (after - first.clamp_min(n_outside)).clamp_min(0) / (after - first)
    difference: Tensor = (values - target).view_as(mask)
    gradient: Tensor = -2 * (AREA_WEIGHT * AREA_WEIGHT_GROWTH**fraction_done) / pixels * difference
    return gradient
