"""The built-in combinators, for any method: `refine(find("layer_cam"))` or `"smooth(positive(hires_cam), n=4)"`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.maps import LINEAR_MODES, max_scale
from camlucida.methods.combinators.base import MapToImage, Views, combinator
from camlucida.methods.common.infill import require_images
from camlucida.methods.common.perturbations import noisy
from camlucida.options import Between, Count, NotNegative, Positive, Seed

MIN_CROP_FRACTION = 0.5
"""Minimum side of a crop, as a fraction: smaller crops in the four corners would leave a gap between them."""


@combinator("fusion", paper="RefineCAM, arXiv 2605.14641, 2026: the product over the layers of maps scaled to [0, 1]")
def refine(maps: Sequence[Tensor]) -> Tensor:
    """Multiply the maps of several layers: the detail of early layers, where the late layers agree."""
    return reduce(torch.mul, _to_common_grid(maps))


@combinator(
    "fusion",
    paper="Jiang et al., TIP 2021, sec. III-D: at each position the largest of tanh(gamma M / max M) over the layers",
    deviation="tanh, with the paper's gamma=2, only if requested, and then for all layers",
)
def fuse_max(maps: Sequence[Tensor], *, gamma: NotNegative = 0.0) -> Tensor:
    """Take the element-wise maximum of the maps of several layers.

    Args:
        maps: Maps `(b, h, w)`, one per layer.
        gamma: Above 0, weak values are raised: tanh(gamma M / max M) instead of M / max M.
    """
    return reduce(torch.maximum, _to_common_grid(maps, gamma))


@combinator("fusion", paper="Gildenblat et al., pytorch-grad-cam: the mean over the layers of scaled maps")
def fuse_mean(maps: Sequence[Tensor], *, gamma: NotNegative = 0.0) -> Tensor:
    """Take the mean of the maps of several layers.

    Args:
        maps: Maps `(b, h, w)`, one per layer.
        gamma: Above 0, weak values are raised: tanh(gamma M / max M) instead of M / max M.
    """
    return torch.stack(_to_common_grid(maps, gamma)).mean(0)


@combinator("part")
def positive(map_: Tensor) -> Tensor:
    """Keep the positive evidence for the target: the part of the signed map above zero."""
    return map_.relu()


@combinator("part")
def negative(map_: Tensor) -> Tensor:
    """Keep the negative evidence against the target: the part of the signed map below zero, negated."""
    return (-map_).relu()


@combinator("part")
def absolute(map_: Tensor) -> Tensor:
    """Take the absolute value of the signed map: positive and negative evidence alike."""
    return map_.abs()


@combinator(
    "layer",
    paper="Gildenblat et al., pytorch-grad-cam (eigen_smooth); Muhammad & Yeasin, IJCNN 2020: A = U S V^T, not centred",
    deviation="pytorch-grad-cam takes the first principal component of the weighted activations w_k A^k, which only"
    " weighted sums of channels have, and centres them: no projection of the map. Here any map is projected, U U^T m",
)
def eigen_smooth(maps: Sequence[Tensor], activations: Tensor, *, components: Count = 3) -> list[Tensor]:
    """Project the map on the main spatial components of the layer, which removes isolated values.

    Args:
        maps: Maps `(b, h, w)` at the layer.
        activations: Activations of the layer `(b, c, h, w)`.
        components: Number of principal components, the strongest first. With 1, every map is Eigen-CAM's except for
            sign and scale, whatever the target; with as many as there are positions, the map is unchanged.
    """
    patterns = _patterns(activations.double(), components)
    projected = (patterns @ (patterns.mT @ map_.double().flatten(1)[..., None]) for map_ in maps)
    return [projection.view_as(map_).to(map_.dtype) for projection, map_ in zip(projected, maps, strict=True)]


@combinator(
    "competing_classes",
    paper="Zhang et al., CVPR 2025 (Finer-CAM) compare scores inside Grad-CAM; of whole maps here: M_c - 1/n sum_d M_d",
)
def contrast(map_: Tensor, competing_classes: Sequence[Tensor], *, n: Count = 3, scaled: bool = False) -> Tensor:
    """Subtract the mean map of the best-scored other classes from the map of the class.

    For methods that are linear in the score, such as grad_cam and hires_cam, the result is the map of the score minus
    the mean score of the other classes.

    Args:
        map_: Signed map `(b, h, w)` of the class.
        competing_classes: Signed maps `(b, h, w)` of the other classes.
        n: Number of other classes, at most all of them.
        scaled: Whether each map is first divided by its largest absolute value. Classes with low and with high scores
            then have the same weight, and the map has no units.
    """
    if scaled:
        map_, *competing_classes = (class_map / _max_abs(class_map) for class_map in (map_, *competing_classes))
    return map_ - torch.stack(list(competing_classes)).mean(0)


@combinator("views", paper="Smilkov et al., 2017 (SmoothGrad): the mean over noisy images")
def smooth(inputs: Tensor, *, n: Count = 8, noise: NotNegative = 0.1, seed: Seed = 0) -> Views:
    """Average over noisy copies of the input, which reduces noise of single pixels; n runs of the network.

    Args:
        inputs: Network inputs `(b, c, H, W)`.
        n: Number of copies.
        noise: Standard deviation of the noise, as a fraction of each input's range.
        seed: Seed of the noise.
    """
    images = noisy(inputs, n, noise, seed)
    return Views(n, lambda i: (images(torch.tensor([i]))[0] if noise else inputs, resize_map))


@combinator("views", paper="Gildenblat et al., pytorch-grad-cam (aug_smooth), flips only")
def flips(inputs: Tensor) -> Views:
    """Average over the input and its mirror image; one more run of the network."""
    views = [(inputs, resize_map), (inputs.flip(-1), lambda map_, size: resize_map(map_, size).flip(-1))]
    return Views(len(views), views.__getitem__)


@combinator("views", paper="Jalwana et al., CVPR 2021 (CAMERAS) takes means over sizes; of whole maps here")
def scales(inputs: Tensor, *, factors: tuple[Positive, ...] = (0.75, 1.0, 1.5)) -> Views:
    """Average over the input at several sizes, for networks that accept any size.

    Args:
        inputs: Network inputs `(b, c, H, W)`.
        factors: Sizes as multiples of the input's side; larger ones yield finer maps. The number of slices of a volume,
            or frames of a video, stays.
    """
    *slices, height, width = inputs.shape[2:]
    sizes = [(*slices, round(f * height), round(f * width)) for f in factors]
    return Views(len(sizes), lambda i: (_resize(inputs, sizes[i]), resize_map))


@combinator("views")
def crops(inputs: Tensor, *, share: Annotated[float, Between(MIN_CROP_FRACTION, 1)] = 0.75) -> Views:
    """Average over the input and crops of its four corners and its centre; five more runs of the network.

    Args:
        inputs: Network inputs `(b, c, H, W)`.
        share: Side of a crop, as a fraction of the input's side, in [0.5, 1].
    """
    require_images(inputs, "crops", "flips, smooth or scales")
    margin = 1 - share
    corners = [None, (0.0, 0.0), (margin, 0.0), (0.0, margin), (margin, margin), (margin / 2, margin / 2)]
    return Views(len(corners), lambda i: (_crop(inputs, corners[i], share), _uncrop(corners[i], share)))


def resize_map(map_: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a map `(b, *grid)` linearly along every axis; the precision is kept."""
    return map_ if tuple(map_.shape[1:]) == tuple(size) else _resize(map_[:, None], size)[:, 0]


def _resize(images: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(images.shape[2:]) == tuple(size):
        return images
    size, mode = tuple(max(1, side) for side in size), LINEAR_MODES[images.ndim - 2]
    return F.interpolate(_at_least_float32(images), size=size, mode=mode, align_corners=False).to(images.dtype)


def _at_least_float32(images: Tensor) -> Tensor:
    """Convert half precision to float32: not every device interpolates halves."""
    return images.float() if images.dtype in (torch.float16, torch.bfloat16) else images


def _max_abs(maps: Tensor) -> Tensor:
    """Return the largest absolute value of each map, with axes of length 1 for its grid; 1 for a map of zeros."""
    maximum = maps.abs().amax(tuple(range(1, maps.ndim)), keepdim=True)
    return maximum.where(maximum > 0, 1)


def _patterns(activations: Tensor, components: int) -> Tensor:
    """Return the first left singular vectors `(b, h * w, components)` of activations `(b, c, h, w)`, zero-padded."""
    positions = activations.flatten(2).mT
    few_channels = positions.shape[2] <= positions.shape[1]
    # Use the smaller of the two Gram matrices: a full SVD of 2048 channels takes seconds.
    values, vectors = torch.linalg.eigh(positions.mT @ positions if few_channels else positions @ positions.mT)
    values, vectors = values.flip(-1)[:, None, :components], vectors.flip(-1)[:, :, :components]
    is_nonzero = values > max(positions.shape) * torch.finfo(values.dtype).eps * values[..., :1]
    patterns = positions @ vectors / values.where(is_nonzero, 1).sqrt() if few_channels else vectors
    result: Tensor = patterns.where(is_nonzero, 0)
    return result


def _to_common_grid(maps: Sequence[Tensor], gamma: float = 0.0) -> list[Tensor]:
    """Return the positive parts, each divided by its maximum, on the finest grid among the maps."""
    finest = max((map_.shape[1:] for map_ in maps), key=math.prod)
    scaled_maps = [max_scale(map_, map_.ndim - 1) for map_ in maps]
    return [resize_map(m if gamma == 0 else (gamma * m).tanh(), finest) for m in scaled_maps]


def _crop(inputs: Tensor, corner: tuple[float, float] | None, share: float) -> Tensor:
    if corner is None:
        return inputs
    y, x = (_centres(n, inputs) * share + start for n, start in zip(inputs.shape[-2:], corner, strict=True))
    return _sample(inputs, y, x)


def _uncrop(corner: tuple[float, float] | None, share: float) -> MapToImage:
    """Return the function that maps the map of a crop back to its position in the input."""
    if corner is None:
        return resize_map

    def to_image(map_: Tensor, size: Sequence[int]) -> Tensor:
        y, x = ((_centres(n, map_) - start) / share for n, start in zip(size, corner, strict=True))
        inside = ((y >= 0) & (y <= 1))[:, None] & ((x >= 0) & (x <= 1))
        return _sample(map_[:, None], y, x)[:, 0].where(inside, torch.nan)

    return to_image


def _centres(n: int, like: Tensor) -> Tensor:
    """Return the centres `(n,)` of n cells, as fractions of the whole."""
    return (torch.arange(n, device=like.device, dtype=_at_least_float32(like).dtype) + 0.5) / n


def _sample(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample images `(b, c, h, w)` at positions y `(H,)` by x `(W,)`, given as fractions of height and width."""
    grid = torch.stack([(2 * x - 1).expand(len(y), -1), (2 * y - 1)[:, None].expand(-1, len(x))], dim=-1)
    grid = grid.expand(len(images), -1, -1, -1)
    samples = F.grid_sample(
        _at_least_float32(images), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return samples.to(images.dtype)
