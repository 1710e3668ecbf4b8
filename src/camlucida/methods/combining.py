"""The combinators. They take any method: `refine(find("layer_cam"))`, by name `"smooth(positive(hires_cam), n=4)"`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.errors import MethodError
from camlucida.methods.combined import Back, Views, combinator
from camlucida.methods.parts.variants import noisy
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
def fuse_max(maps: Sequence[Tensor], *, gamma: float = 0.0) -> Tensor:
    """The largest over layers, place by place: whatever any layer saw.

    gamma   more than 0 lifts weak places: tanh(gamma M / max M) in place of M / max M
    """
    return reduce(torch.maximum, _on_one_grid(maps, gamma))


@combinator("fusion", paper="Gildenblat et al., pytorch-grad-cam: the mean over the layers of scaled maps")
def fuse_mean(maps: Sequence[Tensor], *, gamma: float = 0.0) -> Tensor:
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


@combinator("views", paper="Smilkov et al., 2017 (SmoothGrad): the mean over noisy pictures")
def smooth(inputs: Tensor, *, n: int = 8, noise: float = 0.1, seed: int = 0) -> Views:
    """The mean over noisy pictures: what hangs on single pixels averages out. Runs the network n times.

    noise   its standard deviation, as a share of each picture's range
    """
    if n < 1 or noise < 0:
        raise MethodError(
            f"smooth takes the mean over n = 1 or more pictures with noise of 0 or more, not {n}, {noise:g}."
        )
    pictures = noisy(inputs, n, noise, seed)
    return ((pictures(torch.tensor([i]))[0] if noise else inputs, at_size) for i in range(n))


@combinator("views", paper="Gildenblat et al., pytorch-grad-cam (aug_smooth), flips only")
def flips(inputs: Tensor) -> Views:
    """The mean over the picture and its mirror image. Runs the network once more."""
    return iter([(inputs, at_size), (inputs.flip(-1), lambda found, size: at_size(found, size).flip(-1))])


@combinator("views", paper="Jalwana et al., CVPR 2021 (CAMERAS) takes means over sizes; of whole maps here")
def scales(inputs: Tensor, *, factors: tuple[float, ...] = (0.75, 1.0, 1.5)) -> Views:
    """The mean over the picture at several sizes: finer from larger ones. For networks that take any size.

    factors   of the input's side
    """
    if not isinstance(factors, list | tuple) or not factors or not all(f > 0 for f in factors):
        raise MethodError(f"scales takes sizes as factors=(0.75, 1.0, 1.5), each above 0, not {factors!r}.")
    height, width = inputs.shape[-2:]
    return ((_resized(inputs, (round(f * height), round(f * width))), at_size) for f in factors)


@combinator("views")
def crops(inputs: Tensor, *, share: float = 0.75) -> Views:
    """The mean over the picture, its four corners and its middle, each looked at closely. Runs it 5 times more.

    share   of the picture's side that a crop has
    """
    if not SMALLEST_SHARE <= share <= 1:
        raise MethodError(f"crops of a share of {share:g}: it goes from {SMALLEST_SHARE:g}, where they meet, to 1.")
    free = 1 - share
    places = [(0.0, 0.0), (free, 0.0), (0.0, free), (free, free), (free / 2, free / 2)]
    return ((_cropped(inputs, corner, share), _uncropped(corner, share)) for corner in [None, *places])


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


def _on_one_grid(maps: Sequence[Tensor], gamma: float = 0.0) -> list[Tensor]:
    """The positive parts, each divided by its maximum, on the finest grid of them."""
    if gamma < 0:
        raise MethodError(f"gamma={gamma:g}: it is 0 (no tanh) or more.")
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
