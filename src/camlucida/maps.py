"""Arithmetic on maps and images that methods, metrics and higher packages share.

Resampling from a layer's grid to the network input and the original image, display, Gaussian blur, rank correlation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.types import Display, Geometry, VolumeGeometry

LINEAR_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""Names of linear interpolation in `torch.nn.functional.interpolate`, by the number of axes of the grid."""


def grid_axes(tensor: Tensor) -> tuple[int, ...]:
    """Return the axes of the grid of a tensor `(b, c, *grid)`: (2, 3) for images, (2, 3, 4) for volumes."""
    return tuple(range(2, tensor.ndim))


def per_channel(weights: Tensor, like: Tensor) -> Tensor:
    """Return weights `(b, c)` with further axes of length 1, so that they broadcast over `like` `(b, c, *grid)`."""
    return weights.reshape(*weights.shape, *[1] * (like.ndim - 2))


def upsample(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps `(b, *grid)` to `size`: linear along every axis with half-pixel centres, as in the papers.

    Args:
        maps: `(b, h, w)` for images, `(b, d, h, w)` for volumes and the frames of a video.
        size: (height, width), or (depth, height, width).
    """
    at_least_float32 = maps[:, None].to(torch.promote_types(maps.dtype, torch.float32))
    mode = LINEAR_MODES[maps.ndim - 1]
    return F.interpolate(at_least_float32, size=tuple(size), mode=mode, align_corners=False)[:, 0]


def to_image_grid(map_: Tensor, geometry: Geometry) -> Tensor:
    """Resample a map to the grid of the original image.

    The map is first upsampled to the network input and then mapped through the recorded resize, crop or letterbox, both
    bilinearly.

    Args:
        map_: A map `(h, w)`.
        geometry: Position of the network input on the original image.

    Returns:
        The map `(height, width)`, NaN outside the network input.
    """
    (width, height), (input_width, input_height) = geometry.original, geometry.input
    at_input = upsample(map_[None].float(), (input_height, input_width))
    x = (torch.arange(width, dtype=torch.float32) + 0.5) * geometry.scale[0] + geometry.offset[0]
    y = (torch.arange(height, dtype=torch.float32) + 0.5) * geometry.scale[1] + geometry.offset[1]
    across, down = 2 * x / input_width - 1, 2 * y / input_height - 1
    grid = torch.stack([across.expand(height, width), down[:, None].expand(height, width)], dim=-1)
    on_image = F.grid_sample(
        at_input[None].cpu(), grid[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0, 0]
    left, top, right, bottom = geometry.visible_box
    valid_x, valid_y = _valid_region(width, left, right), _valid_region(height, top, bottom)
    return on_image.where(valid_y[:, None] & valid_x[None], torch.nan)


def to_volume_grid(map_: Tensor, geometry: VolumeGeometry) -> Tensor:
    """Resample a map to the grid of the original volume, linearly along every axis, as `to_image_grid` does.

    Args:
        map_: A map `(d, h, w)`.
        geometry: Position of the network input on the original volume.

    Returns:
        The map, of the size of the volume; NaN outside the network input.
    """
    values = upsample(map_[None].float(), geometry.input)[0].cpu()
    valid = torch.ones((), dtype=torch.bool)
    for axis in range(3):
        n, side = geometry.original[axis], geometry.input[axis]
        scale, offset = geometry.scale[axis], geometry.offset[axis]
        position = ((torch.arange(n, dtype=torch.float32) + 0.5) * scale + offset - 0.5).clamp(0, side - 1)
        low = position.floor().long().clamp_max(max(0, side - 2))
        weight = (position - low).view(-1, *[1] * (2 - axis))
        high = (low + 1).clamp_max(side - 1)
        values = torch.lerp(values.index_select(axis, low), values.index_select(axis, high), weight)
        inside = _valid_region(n, max(0.0, -offset / scale), min(float(n), (side - offset) / scale))
        valid = valid & inside.view(-1, *[1] * (2 - axis))
    return values.where(valid, torch.nan)


def _valid_region(n: int, start: float, end: float) -> Tensor:
    """Return which of `n` pixels have their centre between `start` and `end`; at least the middle one."""
    centres = torch.arange(n, dtype=torch.float32) + 0.5
    inside = (centres > start) & (centres < end)
    return inside if bool(inside.any()) else torch.arange(n) == min(int((start + end) / 2), n - 1)


def max_scale(saliency: Tensor, n_axes: int = 2) -> Tensor:
    """Clip maps at zero and divide by their maximum; maps without positive values become 0, and NaN stays NaN.

    Args:
        saliency: Maps `(..., *grid)`.
        n_axes: Number of axes of the grid: 2 for images, 3 for volumes.
    """
    maximum = saliency.nan_to_num(nan=0.0).clamp_min(0).amax(tuple(range(-n_axes, 0)), keepdim=True)
    return torch.where(maximum > 0, saliency.clamp_min(0) / maximum, saliency.clamp_min(0) * 0)


def saturation_value(saliency: Tensor, display: Display) -> float:
    """Return the map value that gets the full colour: a percentile of values or magnitudes; 0 for an empty map.

    Args:
        saliency: A map of any shape; NaN values are ignored.
        display: The percentile, and whether negative values are displayed.
    """
    values = saliency[~saliency.isnan()]
    magnitudes = values.abs() if display.signed else values.clamp_min(0)
    if not len(magnitudes):
        return 0.0
    rank = max(1, round(display.percentile / 100 * len(magnitudes)))
    value = float(magnitudes.max() if rank == len(magnitudes) else magnitudes.kthvalue(rank).values)
    return value or float(magnitudes.max())  # the percentile of a sparse map may be 0


def display_map(saliency: Tensor, maximum: float, *, signed: bool) -> Tensor:
    """Scale a map to [0, 1] for display and clip it.

    Args:
        saliency: A map of any shape.
        maximum: The value that becomes 1.
        signed: Whether -maximum becomes 0 and zero becomes 0.5; else zero becomes 0.
    """
    scaled_values = saliency / maximum if maximum else saliency * 0
    return (scaled_values.clamp(-1, 1) + 1) / 2 if signed else scaled_values.clamp(0, 1)


INFILL_SIGMA = 0.05
"""Standard deviation of the blurred infill, as a fraction of the shorter side: 11 of 224 pixels keep colours only."""


def gaussian_kernel(sigma: float, radius: int) -> Tensor:
    """Return the weights of a Gaussian at integer distances.

    Args:
        sigma: The standard deviation, in pixels.
        radius: The largest distance, in pixels.

    Returns:
        Weights `(2 * radius + 1,)` that sum to 1, float64.
    """
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma) ** 2)
    return weights / weights.sum()


def gaussian_blur(
    images: Tensor, sigma: float | tuple[float, ...], radius: int | tuple[int, ...], border: str
) -> Tensor:
    """Blur images, volumes or maps with a truncated Gaussian.

    Args:
        images: `(b, c, *grid)`; half precision is blurred in float32.
        sigma: The standard deviation in pixels, or one for every axis of the grid.
        radius: The radius of truncation in pixels, or one for every axis of the grid.
        border: Padding mode of `torch.nn.functional.pad`: replicate, reflect or circular.

    Returns:
        The blurred images, in the shape and the precision of `images`.
    """
    precision = torch.promote_types(images.dtype, torch.float32)
    planes = images.to(precision).flatten(0, 1)[:, None]
    n_axes = images.ndim - 2
    sigmas = sigma if isinstance(sigma, tuple) else (sigma,) * n_axes
    radii = radius if isinstance(radius, tuple) else (radius,) * n_axes
    convolve = F.conv3d if n_axes == 3 else F.conv2d
    for axis in reversed(range(n_axes)):
        line = [1] * n_axes
        line[axis] = -1
        padding = [0] * (2 * n_axes)
        end = 2 * (n_axes - axis)  # `pad` lists the last axis first
        padding[end - 2 : end] = [radii[axis]] * 2
        kernel = gaussian_kernel(sigmas[axis], radii[axis]).to(planes).view(1, 1, *line)
        planes = convolve(F.pad(planes, padding, mode=border), kernel)
    return planes.view_as(images).to(images.dtype)


def blurred_infill(images: Tensor) -> Tensor:
    """Return images `(b, c, *grid)` blurred until only colours remain, as infill of removed pixels.

    Every axis of a volume is blurred by the same fraction of its own length: volumes often have few slices.
    """
    if images.ndim > 4:
        sigmas = tuple(INFILL_SIGMA * side for side in images.shape[2:])
        return gaussian_blur(images, sigmas, tuple(max(1, round(4 * sigma)) for sigma in sigmas), "replicate")
    sigma = INFILL_SIGMA * min(images.shape[-2:])
    return gaussian_blur(images, sigma, max(1, round(4 * sigma)), "replicate")


def ranks(values: Tensor) -> Tensor:
    """Return the ranks of the values in each row; equal values share the mean of their ranks.

    Args:
        values: `(n, m)`.

    Returns:
        Ranks `(n, m)` from 0, float64.
    """
    ordered, order = values.double().sort(dim=1)
    position = torch.arange(values.shape[1], dtype=torch.float64, device=values.device).expand_as(ordered)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = starts.long().cumsum(1) - 1
    zeros = torch.zeros_like(ordered)
    mean = zeros.scatter_add(1, group, position) / zeros.scatter_add(1, group, torch.ones_like(position)).clamp_min(1)
    return zeros.scatter(1, order, mean.gather(1, group))


def pearson(first: Tensor, second: Tensor) -> Tensor:
    """Return the Pearson correlation `(n,)` between rows of `first` and `second` `(n, m)`; NaN for a constant row."""
    first, second = _centred(first), _centred(second)
    sizes = first.norm(dim=1) * second.norm(dim=1)
    correlation: Tensor = (first * second).sum(1) / sizes.where(sizes > 0, torch.nan)
    return correlation


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Return Spearman's rank correlation `(n,)` of maps `(n, ...)`, in [-1, 1]; NaN where a map is constant."""
    return pearson(ranks(first.flatten(1)), ranks(second.flatten(1)))


def spearman_matrix(values: Tensor) -> Tensor:
    """Return Spearman's rank correlation `(n, n)` between all rows of values `(n, m)`; NaN for a constant row."""
    rows = _centred(ranks(values))
    sizes = rows.norm(dim=1)
    sizes = sizes.where(sizes > 0, torch.nan)
    correlation: Tensor = rows @ rows.T / (sizes[:, None] * sizes)
    return correlation.clamp(-1, 1)


def _centred(rows: Tensor) -> Tensor:
    rows = rows.double()
    return rows - rows.mean(1, keepdim=True)


def stretched_bands(image: Tensor, bands: Sequence[int]) -> Tensor:
    """Return three bands of an image as red, green and blue, each stretched from its 2nd to its 98th percentile.

    Args:
        image: `(c, h, w)`.
        bands: Numbers of the bands, from 1.

    Returns:
        `(3, h, w)` in [0, 1]; a constant band becomes 0.
    """
    stretched = []
    for band in bands:
        values = image[band - 1].double()
        ordered = values.flatten().sort().values
        low, high = (float(ordered[round(fraction * (len(ordered) - 1))]) for fraction in (0.02, 0.98))
        stretched.append(((values - low) / (high - low)).clamp(0, 1) if high > low else values * 0)
    return torch.stack(stretched).to(image.dtype)


def rgb_channels(image: Tensor) -> Tensor:
    """Return the channels `(3, h, w)` in which an image `(c, h, w)` is displayed.

    With three channels or more these are the first three, as red, green and blue: a multispectral image is displayed as
    its first three bands. With one or two it is the first, as grey.
    """
    return image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
