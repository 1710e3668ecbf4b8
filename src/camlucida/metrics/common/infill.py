"""What stands where pixels are taken away: (n, H, W) bool in, pictures (n, c, H, W) without them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.errors import MetricError, nearest
from camlucida.maps import blurred_infill, gaussian_kernel
from camlucida.metrics.common.imputation import impute

RemovePixels: TypeAlias = Callable[[Tensor], Tensor]
"""Which pixels are missing (n, H, W) in, the pictures (n, c, H, W) without them out."""

Infill: TypeAlias = Literal["zeros", "black", "mean", "gaussian", "rise_blur", "road"]

ROAD_NOISE = 0.01
"""Of the range from black to white."""


def pixel_remover(
    inputs: Tensor,
    infill: str,
    *,
    pixel_scale: Tensor,
    black_level: Tensor,
    random: torch.Generator,
    noise: float = ROAD_NOISE,
) -> RemovePixels:
    """How one picture (c, H, W) loses pixels.

    infill     "zeros" of the network's input, which is the mean colour of what it was trained on; "black"; "mean", the
               picture's own mean colour; "gaussian", the picture blurred until only colours are left; "rise_blur", the
               blur of RISE's code; "road", what the pixels around it make likely, with noise
    noise      of "road", sigma as a share of the range from black to white
    """
    if infill == "road":
        scaled_noise = noise * pixel_scale * torch.randn(inputs.shape, generator=random, dtype=torch.float64).to(inputs)
        return lambda missing: _impute_or_mean(inputs, missing, scaled_noise)
    return replace_by(inputs, image(inputs, infill, black_level))


def replace_by(inputs: Tensor, replacement: Tensor) -> RemovePixels:
    """How one picture loses pixels to another one (c, H, W), or to one for each variant (n, c, H, W)."""
    return lambda missing: torch.where(missing[:, None], replacement, inputs)


def image(inputs: Tensor, infill: str, black_level: Tensor) -> Tensor:
    """The picture (c, H, W) that shows through where pixels are missing."""
    if infill == "zeros":
        return torch.zeros_like(inputs)
    if infill == "black":
        return black_level.to(inputs).expand_as(inputs)
    if infill == "mean":
        return inputs.mean((1, 2), keepdim=True).expand_as(inputs)
    if infill == "gaussian":
        return blurred_infill(inputs[None])[0]
    if infill == "rise_blur":
        kernel = rise_kernel().to(inputs)
        return F.conv2d(inputs[:, None], kernel[None, None], padding=len(kernel) // 2)[:, 0]
    known = get_args(Infill)
    raise MetricError(f"no infill {infill!r}.{nearest(str(infill), known)} Known: {', '.join(known)}.")


def rise_kernel(side: int = 11, sigma: float = 5.0) -> Tensor:
    """The blur (side, side) of RISE's code: no Gaussian of that sigma, though it is made of one.

    A point in the middle of so small a picture is blurred with reflecting borders, cut at 4 sigma, and what leaves on
    one side comes back: almost a flat box, whose own sigma is 3.13. Float32, as there.
    """
    radius = int(4 * sigma + 0.5)
    line = torch.zeros(side, dtype=torch.float64)
    for position in range(side):
        for offset, weight in zip(range(-radius, radius + 1), gaussian_kernel(sigma, radius), strict=True):
            source = (position + offset) % (2 * side)  # d c b a | a b c d | d c b a
            line[position] += weight * ((source if source < side else 2 * side - 1 - source) == side // 2)
    return (line[:, None] * line).float()


def check_fractions(fractions: Sequence[float], name: str) -> tuple[float, ...]:
    """Shares of a picture that can be taken away and leave something to guess from."""
    if not fractions or not all(0 < fraction < 1 for fraction in fractions):
        raise MetricError(f"{name} are shares of the picture, between 0 and 1, not {tuple(fractions)}.")
    return tuple(fractions)


def _impute_or_mean(inputs: Tensor, missing: Tensor, scaled_noise: Tensor) -> Tensor:
    """Where nothing is left to guess from, the mean colour."""
    all_missing = missing.flatten(1).all(1)
    imputed_images = torch.empty((len(missing), *inputs.shape), dtype=inputs.dtype, device=inputs.device)
    imputed_images[all_missing] = inputs.mean((1, 2), keepdim=True)
    imputed_images[~all_missing] = impute(inputs, missing[~all_missing])
    return imputed_images + scaled_noise * missing[:, None]
