"""Infills: functions that replace removed pixels, from masks `(n, H, W)` to modified inputs `(n, c, H, W)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.errors import MetricError, nearest
from camlucida.maps import blurred_infill, gaussian_kernel
from camlucida.metrics.common.imputation import impute
from camlucida.metrics.common.ranking import require_image

RemovePixels: TypeAlias = Callable[[Tensor], Tensor]
"""A function from bool masks of missing pixels `(n, H, W)` to modified inputs `(n, c, H, W)`."""

Infill: TypeAlias = Literal["zeros", "black", "mean", "gaussian", "rise_blur", "road"]

ROAD_NOISE = 0.01
"""Standard deviation of ROAD's noise, as a fraction of the range from black to white."""


def pixel_remover(
    inputs: Tensor,
    infill: str,
    *,
    pixel_scale: Tensor,
    black_level: Tensor,
    random: torch.Generator,
    noise: float = ROAD_NOISE,
) -> RemovePixels:
    """Return a function that removes pixels from an input.

    Args:
        inputs: `(c, H, W)` the network input.
        infill: What replaces removed pixels. "zeros": 0 in the network input, the mean colour of its training data;
            "black"; "mean": the image's own mean colour; "gaussian": the image, blurred until only colours remain;
            "rise_blur": the blur of RISE's code; "road": noisy linear imputation from the neighbouring pixels.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        random: Generator for the noise of "road".
        noise: Standard deviation of the noise of "road", as a fraction of the range from black to white.

    Returns:
        A function from masks `(n, H, W)` to modified inputs `(n, c, H, W)`.

    Raises:
        MetricError: For an unknown infill.
    """
    if infill == "road":
        require_image(inputs[0], "the infill road")
        scaled_noise = noise * pixel_scale * torch.randn(inputs.shape, generator=random, dtype=torch.float64).to(inputs)
        return lambda missing: _impute_or_mean(inputs, missing, scaled_noise)
    return replace_by(inputs, image(inputs, infill, black_level))


def replace_by(inputs: Tensor, replacement: Tensor) -> RemovePixels:
    """Return a function that replaces removed pixels by those of another image.

    Args:
        inputs: `(c, H, W)` the network input.
        replacement: `(c, H, W)` the image that replaces removed pixels, or `(n, c, H, W)` one image per variant.
    """
    return lambda missing: torch.where(missing[:, None], replacement, inputs)


def image(inputs: Tensor, infill: str, black_level: Tensor) -> Tensor:
    """Return the image `(c, H, W)` that replaces removed pixels."""
    if infill == "zeros":
        return torch.zeros_like(inputs)
    if infill == "black":
        return black_level.to(inputs).expand_as(inputs)
    if infill == "mean":
        return inputs.mean(tuple(range(1, inputs.ndim)), keepdim=True).expand_as(inputs)
    if infill == "gaussian":
        return blurred_infill(inputs[None])[0]
    if infill == "rise_blur":
        require_image(inputs[0], "the infill rise_blur")
        kernel = rise_kernel().to(inputs)
        return F.conv2d(inputs[:, None], kernel[None, None], padding=len(kernel) // 2)[:, 0]
    known = get_args(Infill)
    raise MetricError(f"no infill {infill!r}.{nearest(str(infill), known)} Known: {', '.join(known)}.")


def rise_kernel(side: int = 11, sigma: float = 5.0) -> Tensor:
    """Return the blur kernel `(side, side)` of RISE's code, which is not a Gaussian of that sigma.

    The code blurs a single point in the centre of a small image with reflecting borders and a Gaussian cut at 4 sigma.
    The reflected parts make the kernel almost a box, whose own standard deviation is 3.13. Float32, as in the original.
    """
    radius = int(4 * sigma + 0.5)
    line = torch.zeros(side, dtype=torch.float64)
    for position in range(side):
        for offset, weight in zip(range(-radius, radius + 1), gaussian_kernel(sigma, radius), strict=True):
            source = (position + offset) % (2 * side)  # d c b a | a b c d | d c b a
            line[position] += weight * ((source if source < side else 2 * side - 1 - source) == side // 2)
    return (line[:, None] * line).float()


def check_fractions(fractions: Sequence[float], name: str) -> tuple[float, ...]:
    """Return fractions of the pixels as a tuple after checking that each lies strictly between 0 and 1.

    Raises:
        MetricError: If there are none, or one lies outside (0, 1).
    """
    if not fractions or not all(0 < fraction < 1 for fraction in fractions):
        raise MetricError(f"{name} are fractions of the pixels between 0 and 1, not {tuple(fractions)}.")
    return tuple(fractions)


def _impute_or_mean(inputs: Tensor, missing: Tensor, scaled_noise: Tensor) -> Tensor:
    """Impute missing pixels; use the image's mean colour where all pixels are missing."""
    all_missing = missing.flatten(1).all(1)
    imputed_images = torch.empty((len(missing), *inputs.shape), dtype=inputs.dtype, device=inputs.device)
    imputed_images[all_missing] = inputs.mean((1, 2), keepdim=True)
    imputed_images[~all_missing] = impute(inputs, missing[~all_missing])
    return imputed_images + scaled_noise * missing[:, None]
