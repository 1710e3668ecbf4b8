"""Smooth masks of a given area, for extremal perturbations."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.maps import upsample

N_CELLS = 32
"""Number of parameters along the shorter side: one every 7 pixels of 224, as in the authors' code."""
SIGMA_FRACTION = 21 / 224
"""Sigma of the kernel, as a fraction of the shorter side; the authors' value."""
INVERSE_TEMPERATURE = 20.0
"""1 / T of the smooth maximum; the authors' value."""
AREA_WEIGHT, AREA_WEIGHT_GROWTH = 300.0, 16.0
"""Weight of the area at the first step, and the factor by which it grows until the last: 300 * 1.0035^t, t < 800."""
EQUAL_TOLERANCE = 1e-9
"""Mask values that differ by less count as equal, because upsampling a constant mask leaves rounding errors."""


def parameter_grid(size: tuple[int, int]) -> tuple[int, int]:
    """Return the number of parameters `(rows, columns)` for an input of `size` (height, width) pixels."""
    pixels = min(size) / min(N_CELLS, *size)
    return max(1, round(size[0] / pixels)), max(1, round(size[1] / pixels))


def full_parameters(inputs: Tensor) -> Tensor:
    """Return parameters `(b, *parameter_grid)` of masks that keep the whole of network inputs `(b, c, H, W)`."""
    grid = parameter_grid((inputs.shape[-2], inputs.shape[-1]))
    return torch.ones(len(inputs), *grid, dtype=torch.float64, device=inputs.device)


def smooth_mask(size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """Return the function from parameters to masks: smax_v k(u - v) p_v, the smooth max-convolution.

    smax f = sum f exp(f / T) / sum exp(f / T). k is 1 within half a sigma, and decreases like a Gaussian beyond it.

    Args:
        size: (height, width) of the masks.

    Returns:
        A function from parameters `(b, *parameter_grid(size))` in [0, 1] to masks `(b, *size)`, differentiable.
    """
    rows, columns = parameter_grid(size)
    sigma = SIGMA_FRACTION * min(rows, columns)
    radius = 1 + math.ceil(sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    distance = (offsets[:, None].square() + offsets.square()).sqrt() / sigma
    kernel = (-2 * (distance - 0.5).clamp_min(0).square()).exp().view(1, -1, 1)

    def mask(parameters: Tensor) -> Tensor:
        # Replicate the border: zero padding would favour corners, which would have fewer competing neighbours.
        padded = F.pad(parameters[:, None], (radius,) * 4, mode="replicate")
        neighbours = F.unfold(padded, 2 * radius + 1) * kernel.to(parameters)
        maxima = (neighbours * (INVERSE_TEMPERATURE * neighbours).softmax(1)).sum(1).view(-1, rows, columns)
        return upsample(maxima, size)

    return mask


def area_gradient(mask: Tensor, area: float, fraction_done: float) -> Tensor:
    """Return the gradient of the area term -lambda mean (vecsort(m) - r)^2 at masks.

    r is 0, and 1 for the largest `area` of the pixels: every pixel is driven to 1 if it is among the largest, else to
    0. Equal pixels get the mean target of their ranks, so that the arbitrary order of a sort does not determine the
    location.

    Args:
        mask: Masks `(b, H, W)`.
        area: Target area, as a fraction of the mask.
        fraction_done: Fraction of the steps that are done; lambda grows with it.

    Returns:
        The gradient `(b, H, W)`.
    """
    values = mask.detach().flatten(1)
    pixels = values.shape[1]
    levels = (values / EQUAL_TOLERANCE).round()
    sorted_levels, n_outside = levels.sort(1).values, round(pixels * (1 - area))
    first, after = torch.searchsorted(sorted_levels, levels), torch.searchsorted(sorted_levels, levels, right=True)
    target = (after - first.clamp_min(n_outside)).clamp_min(0).float() / (after - first)
    difference: Tensor = (values - target).view_as(mask)
    gradient: Tensor = -2 * (AREA_WEIGHT * AREA_WEIGHT_GROWTH**fraction_done) / pixels * difference
    return gradient
