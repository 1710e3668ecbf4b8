"""The combinators. They take any method: `refine(find("layer_cam"))`, by name `"smooth(positive(hires_cam), n=4)"`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.methods.combined import Back, Views, combinator
from camlucida.methods.parts.variants import noisy
from camlucida.options import Between, Count, NotNegative, Positive, Seed
from camlucida.tensors import scaled

SMALLEST_SHARE = 0.5
"""Crops of less than half a side, in four corners, would leave a gap between them."""


@combinator("fusion", paper="RefineCAM, arXiv 2605.14641, 2026: the product over the layers of maps scaled to [0, 1]")
def refine(maps: Sequence[Tensor]) -> Tensor:
    """The product over layers: fine where early layers are fine, and only where late ones agree."""
    return reduce(torch.mul, _on_one_grid(maps))


@combinator(
    "fusion",
    paper="Jiang et al., TIP 2021, sec. III-D: the largest of tanh(gamma M / max M) over the layers, place by place",
    deviation="tanh, with the paper's gamma=2, only where asked for, and then for all layers alike",
)
def fuse_max(maps: Sequence[Tensor], *, gamma: NotNegative = 0.0) -> Tensor:
    """The largest over layers, place by place: whatever any layer saw.

    gamma   more than 0 lifts weak places: tanh(gamma M / max M) in place of M / max M
    """
    return reduce(torch.maximum, _on_one_grid(maps, gamma))


@combinator("fusion", paper="Gildenblat et al., pytorch-grad-cam: the mean over the layers of scaled maps")
def fuse_mean(maps: Sequence[Tensor], *, gamma: NotNegative = 0.0) -> Tensor:
    """The mean over layers.

    gamma   more than 0 lifts weak places: tanh(gamma M / max M) in place of M / max M
    """
    return torch.stack(_on_one_grid(maps, gamma)).mean(0)


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
    projected = (patterns @ (patterns.mT @ found.double().flatten(1)[..., None]) for found in maps)
    return [flat.view_as(found).to(found.dtype) for flat, found in zip(projected, maps, strict=True)]


@combinator(
    "rivals",
    paper="Zhang et al., CVPR 2025 (Finer-CAM) compare scores inside Grad-CAM; of whole maps here: M_c - 1/n sum_d M_d",
)
def contrast(map_: Tensor, rivals: Sequence[Tensor], *, n: Count = 3, scaled: bool = False) -> Tensor:
    """What tells the class from others: its signed map less the mean of those of the best-scored other classes.

    Where maps are linear in the score, as those of grad_cam and hires_cam are, it is the map of the score less the
    others' mean score.

    n       how many other classes, at most all there are
    scaled  whether each map is divided by its largest absolute value first: then a class with a low score counts as
            much as one with a high score, and the map has no units
    """
    if scaled:
        map_, *rivals = (found / _largest(found) for found in (map_, *rivals))
    return map_ - torch.stack(list(rivals)).mean(0)


@combinator("views", paper="Smilkov et al., 2017 (SmoothGrad): the mean over noisy pictures")
def smooth(inputs: Tensor, *, n: Count = 8, noise: NotNegative = 0.1, seed: Seed = 0) -> Views:
    """The mean over noisy pictures: what hangs on single pixels averages out. Runs the network n times.

    noise   its standard deviation, as a share of each picture's range
    """
    pictures = noisy(inputs, n, noise, seed)
    return Views(n, lambda i: (pictures(torch.tensor([i]))[0] if noise else inputs, at_size))


@combinator("views", paper="Gildenblat et al., pytorch-grad-cam (aug_smooth), flips only")
def flips(inputs: Tensor) -> Views:
    """The mean over the picture and its mirror image. Runs the network once more."""
    views = [(inputs, at_size), (inputs.flip(-1), lambda found, size: at_size(found, size).flip(-1))]
    return Views(len(views), views.__getitem__)


@combinator("views", paper="Jalwana et al., CVPR 2021 (CAMERAS) takes means over sizes; of whole maps here")
def scales(inputs: Tensor, *, factors: tuple[Positive, ...] = (0.75, 1.0, 1.5)) -> Views:
    """The mean over the picture at several sizes: finer from larger ones. For networks that take any size.

    factors   of the input's side
    """
    height, width = inputs.shape[-2:]
    sizes = [(round(f * height), round(f * width)) for f in factors]
    return Views(len(sizes), lambda i: (_resized(inputs, sizes[i]), at_size))


@combinator("views")
def crops(inputs: Tensor, *, share: Annotated[float, Between(SMALLEST_SHARE, 1)] = 0.75) -> Views:
    """The mean over the picture, its four corners and its middle, each looked at closely. Runs it 5 times more.

    share   of the picture's side that a crop has
    """
    free = 1 - share
    places = [None, (0.0, 0.0), (free, 0.0), (0.0, free), (free, free), (free / 2, free / 2)]
    return Views(len(places), lambda i: (_cropped(inputs, places[i], share), _uncropped(places[i], share)))


def at_size(found: Tensor, size: tuple[int, int]) -> Tensor:
    """A map (b, h, w) at another size, bilinear; in its own precision."""
    return found if found.shape[1:] == size else _resized(found[:, None], size)[:, 0]


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.shape[-2:] == size:
        return images
    size = max(1, size[0]), max(1, size[1])
    return F.interpolate(_full(images), size=size, mode="bilinear", align_corners=False).to(images.dtype)


def _full(images: Tensor) -> Tensor:
    """At least float32: not every machine interpolates halves."""
    return images.float() if images.dtype in (torch.float16, torch.bfloat16) else images


def _largest(found: Tensor) -> Tensor:
    """The largest absolute value of each map (b, 1, 1); 1 where all is 0."""
    top = found.abs().amax((1, 2), keepdim=True)
    return top.where(top > 0, 1)


def _patterns(activations: Tensor, components: int) -> Tensor:
    """The first left singular vectors (b, h w, components) of activations (b, c, h, w), 0 where there are no more."""
    places = activations.flatten(2).mT
    few_channels = places.shape[2] <= places.shape[1]
    # From the smaller of the two Gram matrices: the full SVD of 2048 channels costs seconds.
    values, vectors = torch.linalg.eigh(places.mT @ places if few_channels else places @ places.mT)
    values, vectors = values.flip(-1)[:, None, :components], vectors.flip(-1)[:, :, :components]
    there = values > max(places.shape) * torch.finfo(values.dtype).eps * values[..., :1]
    patterns = places @ vectors / values.where(there, 1).sqrt() if few_channels else vectors
    found: Tensor = patterns.where(there, 0)
    return found


def _on_one_grid(maps: Sequence[Tensor], gamma: float = 0.0) -> list[Tensor]:
    """The positive parts, each divided by its maximum, on the finest grid of them."""
    finest = max((found.shape[1:] for found in maps), key=lambda size: size[0] * size[1])
    shown = [scaled(found) for found in maps]
    return [at_size(m if gamma == 0 else (gamma * m).tanh(), (finest[0], finest[1])) for m in shown]


def _cropped(inputs: Tensor, corner: tuple[float, float] | None, share: float) -> Tensor:
    if corner is None:
        return inputs
    y, x = (_centres(n, inputs) * share + begin for n, begin in zip(inputs.shape[-2:], corner, strict=True))
    return _sampled(inputs, y, x)


def _uncropped(corner: tuple[float, float] | None, share: float) -> Back:
    """How a crop's map comes back to its place in the picture."""
    if corner is None:
        return at_size

    def back(found: Tensor, size: tuple[int, int]) -> Tensor:
        y, x = ((_centres(n, found) - begin) / share for n, begin in zip(size, corner, strict=True))
        seen = ((y >= 0) & (y <= 1))[:, None] & ((x >= 0) & (x <= 1))
        return _sampled(found[:, None], y, x)[:, 0].where(seen, torch.nan)

    return back


def _centres(count: int, like: Tensor) -> Tensor:
    """Of so many cells, as shares of the whole."""
    return (torch.arange(count, device=like.device, dtype=_full(like).dtype) + 0.5) / count


def _sampled(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Images (b, c, h, w) at places y (H,) by x (W,), as shares of height and width."""
    places = torch.stack([(2 * x - 1).expand(len(y), -1), (2 * y - 1)[:, None].expand(-1, len(x))], dim=-1)
    places = places.expand(len(images), -1, -1, -1)
    found = F.grid_sample(_full(images), places, mode="bilinear", padding_mode="border", align_corners=False)
    return found.to(images.dtype)
