"""The combinators. They take any method: `refine(find("layer_cam"))`, by name `"smooth(positive(hires_cam), n=4)"`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.maps import max_scale
from camlucida.methods.combinators.base import MapToImage, Views, combinator
from camlucida.methods.common.perturbations import noisy
from camlucida.options import Between, Count, NotNegative, Positive, Seed

MIN_CROP_FRACTION = 0.5
"""Crops of less than half a side, in four corners, would leave a gap between them."""


@combinator("fusion", paper="RefineCAM, arXiv 2605.14641, 2026: the product over the layers of maps scaled to [0, 1]")
def refine(maps: Sequence[Tensor]) -> Tensor:
    """The product over layers: fine where early layers are fine, and only where late ones agree."""
    return reduce(torch.mul, _to_common_grid(maps))


@combinator(
    "fusion",
    paper="Jiang et al., TIP 2021, sec. III-D: the largest of tanh(gamma M / max M) over the layers, place by place",
    deviation="tanh, with the paper's gamma=2, only where asked for, and then for all layers alike",
)
def fuse_max(maps: Sequence[Tensor], *, gamma: NotNegative = 0.0) -> Tensor:
    """The largest over layers, place by place: whatever any layer saw.

    gamma   more than 0 lifts weak places: tanh(gamma M / max M) in place of M / max M
    """
    return reduce(torch.maximum, _to_common_grid(maps, gamma))


@combinator("fusion", paper="Gildenblat et al., pytorch-grad-cam: the mean over the layers of scaled maps")
def fuse_mean(maps: Sequence[Tensor], *, gamma: NotNegative = 0.0) -> Tensor:
    """The mean over layers.

    gamma   more than 0 lifts weak places: tanh(gamma M / max M) in place of M / max M
    """
    return torch.stack(_to_common_grid(maps, gamma)).mean(0)


@combinator("part")
def positive(map_: Tensor) -> Tensor:
    """What speaks for the target: the part of the signed map above zero."""
    return map_.relu()


@combinator("part")
def negative(map_: Tensor) -> Tensor:
    """What speaks against the target: the part of the signed map below zero, turned round."""
    return (-map_).relu()


@combinator("part")
def absolute(map_: Tensor) -> Tensor:
    """What matters at all, for or against: the signed map without its sign."""
    return map_.abs()


@combinator(
    "layer",
    paper="Gildenblat et al., pytorch-grad-cam (eigen_smooth); Muhammad & Yeasin, IJCNN 2020: A = U S V^T, not centred",
    deviation="pytorch-grad-cam takes the first principal component of the weighted activations w_k A^k, which only"
    " weighted sums of channels have, and centres them: no projection of the map. Here any map is projected, U U^T m",
)
def eigen_smooth(maps: Sequence[Tensor], activations: Tensor, *, components: Count = 3) -> list[Tensor]:
    """The part of the map that follows the layer's main patterns over the picture: single stray places fall away.

    components  how many patterns, the strongest first. With 1 every map is Eigen-CAM's, whatever was asked for, but
                for its sign and strength; with as many as there are places nothing changes
    """
    patterns = _patterns(activations.double(), components)
    projected = (patterns @ (patterns.mT @ map_.double().flatten(1)[..., None]) for map_ in maps)
    return [projection.view_as(found).to(found.dtype) for projection, found in zip(projected, maps, strict=True)]


@combinator(
    "competing_classes",
    paper="Zhang et al., CVPR 2025 (Finer-CAM) compare scores inside Grad-CAM; of whole maps here: M_c - 1/n sum_d M_d",
)
def contrast(map_: Tensor, competing_classes: Sequence[Tensor], *, n: Count = 3, scaled: bool = False) -> Tensor:
    """What tells the class from others: its signed map less the mean of those of the best-scored other classes.

    Where maps are linear in the score, as those of grad_cam and hires_cam are, it is the map of the score less the
    others' mean score.

    n       how many other classes, at most all there are
    scaled  whether each map is divided by its largest absolute value first: then a class with a low score counts as
            much as one with a high score, and the map has no units
    """
    if scaled:
        map_, *competing_classes = (class_map / _max_abs(class_map) for class_map in (map_, *competing_classes))
    return map_ - torch.stack(list(competing_classes)).mean(0)


@combinator("views", paper="Smilkov et al., 2017 (SmoothGrad): the mean over noisy pictures")
def smooth(inputs: Tensor, *, n: Count = 8, noise: NotNegative = 0.1, seed: Seed = 0) -> Views:
    """The mean over noisy pictures: what hangs on single pixels averages out. Runs the network n times.

    noise   its standard deviation, as a share of each picture's range
    """
    images = noisy(inputs, n, noise, seed)
    return Views(n, lambda i: (images(torch.tensor([i]))[0] if noise else inputs, resize_map))


@combinator("views", paper="Gildenblat et al., pytorch-grad-cam (aug_smooth), flips only")
def flips(inputs: Tensor) -> Views:
    """The mean over the picture and its mirror image. Runs the network once more."""
    views = [(inputs, resize_map), (inputs.flip(-1), lambda found, size: resize_map(found, size).flip(-1))]
    return Views(len(views), views.__getitem__)


@combinator("views", paper="Jalwana et al., CVPR 2021 (CAMERAS) takes means over sizes; of whole maps here")
def scales(inputs: Tensor, *, factors: tuple[Positive, ...] = (0.75, 1.0, 1.5)) -> Views:
    """The mean over the picture at several sizes: finer from larger ones. For networks that take any size.

    factors   of the input's side
    """
    height, width = inputs.shape[-2:]
    sizes = [(round(f * height), round(f * width)) for f in factors]
    return Views(len(sizes), lambda i: (_resize(inputs, sizes[i]), resize_map))


@combinator("views")
def crops(inputs: Tensor, *, share: Annotated[float, Between(MIN_CROP_FRACTION, 1)] = 0.75) -> Views:
    """The mean over the picture, its four corners and its middle, each looked at closely. Runs it 5 times more.

    share   of the picture's side that a crop has
    """
    margin = 1 - share
    corners = [None, (0.0, 0.0), (margin, 0.0), (0.0, margin), (margin, margin), (margin / 2, margin / 2)]
    return Views(len(corners), lambda i: (_crop(inputs, corners[i], share), _uncrop(corners[i], share)))


def resize_map(map_: Tensor, size: tuple[int, int]) -> Tensor:
    """A map (b, h, w) at another size, bilinear; in its own precision."""
    return map_ if map_.shape[1:] == size else _resize(map_[:, None], size)[:, 0]


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.shape[-2:] == size:
        return images
    size = max(1, size[0]), max(1, size[1])
    return F.interpolate(_at_least_float32(images), size=size, mode="bilinear", align_corners=False).to(images.dtype)


def _at_least_float32(images: Tensor) -> Tensor:
    """At least float32: not every machine interpolates halves."""
    return images.float() if images.dtype in (torch.float16, torch.bfloat16) else images


def _max_abs(maps: Tensor) -> Tensor:
    """The largest absolute value of each map (b, 1, 1); 1 where all is 0."""
    maximum = maps.abs().amax((1, 2), keepdim=True)
    return maximum.where(maximum > 0, 1)


def _patterns(activations: Tensor, components: int) -> Tensor:
    """The first left singular vectors (b, h w, components) of activations (b, c, h, w), 0 where there are no more."""
    positions = activations.flatten(2).mT
    few_channels = positions.shape[2] <= positions.shape[1]
    # From the smaller of the two Gram matrices: the full SVD of 2048 channels costs seconds.
    values, vectors = torch.linalg.eigh(positions.mT @ positions if few_channels else positions @ positions.mT)
    values, vectors = values.flip(-1)[:, None, :components], vectors.flip(-1)[:, :, :components]
    is_nonzero = values > max(positions.shape) * torch.finfo(values.dtype).eps * values[..., :1]
    patterns = positions @ vectors / values.where(is_nonzero, 1).sqrt() if few_channels else vectors
    result: Tensor = patterns.where(is_nonzero, 0)
    return result


def _to_common_grid(maps: Sequence[Tensor], gamma: float = 0.0) -> list[Tensor]:
    """The positive parts, each divided by its maximum, on the finest grid of them."""
    finest = max((found.shape[1:] for found in maps), key=lambda size: size[0] * size[1])
    scaled_maps = [max_scale(map_) for map_ in maps]
    return [resize_map(m if gamma == 0 else (gamma * m).tanh(), (finest[0], finest[1])) for m in scaled_maps]


def _crop(inputs: Tensor, corner: tuple[float, float] | None, share: float) -> Tensor:
    if corner is None:
        return inputs
    y, x = (_centres(n, inputs) * share + start for n, start in zip(inputs.shape[-2:], corner, strict=True))
    return _sample(inputs, y, x)


def _uncrop(corner: tuple[float, float] | None, share: float) -> MapToImage:
    """How a crop's map comes back to its place in the picture."""
    if corner is None:
        return resize_map

    def to_image(map_: Tensor, size: tuple[int, int]) -> Tensor:
        y, x = ((_centres(n, map_) - start) / share for n, start in zip(size, corner, strict=True))
        inside = ((y >= 0) & (y <= 1))[:, None] & ((x >= 0) & (x <= 1))
        return _sample(map_[:, None], y, x)[:, 0].where(inside, torch.nan)

    return to_image


def _centres(n: int, like: Tensor) -> Tensor:
    """Of so many cells, as shares of the whole."""
    return (torch.arange(n, device=like.device, dtype=_at_least_float32(like).dtype) + 0.5) / n


def _sample(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Images (b, c, h, w) at places y (H,) by x (W,), as shares of height and width."""
    grid = torch.stack([(2 * x - 1).expand(len(y), -1), (2 * y - 1)[:, None].expand(-1, len(x))], dim=-1)
    grid = grid.expand(len(images), -1, -1, -1)
    samples = F.grid_sample(
        _at_least_float32(images), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return samples.to(images.dtype)
