"""Class scores of a region, and of the whole image, from the output of a segmentation network.

Seg-Grad-CAM (Vinogradova et al., AAAI 2020) explains the sum of the logits of a class over a set M of pixels. Here it
is their mean, so that the scores of regions of different sizes compare; maps differ by the factor |M| only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from camlucida.errors import TargetError
from camlucida.types import Geometry

Key: TypeAlias = str | int | None
"""The part of an output that holds the class scores per pixel: a key, an index or an attribute; None to find it."""
ImageBox: TypeAlias = tuple[float, float, float, float]
"""(left, top, right, bottom) of the image in the network input, in fractions of its sides."""
DENSE_NAMES = ("out", "logits")
"""Names of class scores per pixel in outputs: torchvision's and transformers'."""


def dense_scores(output: Any, key: Key = None) -> Tensor:
    """Return the class scores per pixel `(b, k, h, w)` in the output of a segmentation network, at least float32.

    Args:
        output: The output of the network.
        key: The part; None for the output itself, its part "out" or "logits", or the only part with four axes.

    Raises:
        TargetError: The output has no such part, or the part has another number of axes.
    """
    dense = _part(output, key)
    if not isinstance(dense, Tensor) or dense.ndim != 4 or not dense.is_floating_point() or 0 in dense.shape:
        shape = tuple(dense.shape) if isinstance(dense, Tensor) else type(dense).__name__
        raise TargetError(
            f"class scores per pixel have the shape (images, classes, height, width), but the network returned {shape}."
            " Say which part of the output holds them: wrap(network, task='segmentation', output=…), a key or an index."
        )
    return dense.float() if dense.dtype in (torch.float16, torch.bfloat16) else dense


def _part(output: Any, key: Key) -> Any:
    if key is not None:
        try:
            by_key = isinstance(output, Mapping) or isinstance(key, int)
            return output[key] if by_key else getattr(output, str(key))
        except (KeyError, IndexError, AttributeError, TypeError):
            raise TargetError(f"the network's output, {type(output).__name__}, has no part {key!r}.") from None
    if isinstance(output, Tensor):
        return output
    for name in DENSE_NAMES:
        part = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(part, Tensor):
            return part
    values = list(output.values()) if isinstance(output, Mapping) else output
    dense = [v for v in values if isinstance(v, Tensor) and v.ndim == 4] if isinstance(values, list | tuple) else []
    return dense[0] if len(dense) == 1 else output


def image_box(geometry: Geometry) -> ImageBox | None:
    """Return where the image lies in the network input; None if the image covers all of it.

    The rest is the border that fills up the shape of the network input (fit="letterbox"), whose pixels are of no class.
    """
    (width, height), (sx, sy), (ox, oy) = geometry.original, geometry.scale, geometry.offset
    columns, rows = geometry.input
    box = (
        max(0.0, ox / columns),
        max(0.0, oy / rows),
        min(1.0, (ox + width * sx) / columns),
        min(1.0, (oy + height * sy) / rows),
    )
    return None if box == (0.0, 0.0, 1.0, 1.0) else box


def image_cells(box: ImageBox | None, height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of a grid `(height, width)` whose centres lie in the image; at least one of each."""
    if box is None:
        return slice(0, height), slice(0, width)
    return _cells(box[1], box[3], height), _cells(box[0], box[2], width)


def _cells(low: float, high: float, n: int) -> slice:
    first, end = math.ceil(low * n - 0.5), math.ceil(high * n - 0.5)
    if first < end:
        return slice(first, end)
    nearest = min(int((low + high) / 2 * n), n - 1)
    return slice(nearest, nearest + 1)


@dataclass(frozen=True, eq=False)
class RegionScores:
    """The class scores of a region: the mean of each class's logit over the region.

    Attributes:
        weight: Weights of the pixels `(h, w)`, on the grid of the network's output, not negative: 1 inside.
        key: The part of the output that holds the class scores per pixel.
    """

    weight: Tensor
    key: Key = None

    def __call__(self, output: Any) -> Tensor:
        """Return the class scores `(b, k)` of an output."""
        dense = dense_scores(output, self.key)
        weight = self.weight.to(dense)
        if weight.shape != dense.shape[2:]:  # the layers are tested on a smaller image
            weight = F.adaptive_avg_pool2d(weight[None, None], (dense.shape[2], dense.shape[3]))[0, 0]
        return (dense * weight).sum((2, 3)) / weight.sum()


@dataclass(frozen=True)
class WholeImageScores:
    """The class scores of the whole image: a smooth maximum of each class's logit over the pixels.

    The log-sum-exp pooling of weakly supervised segmentation (Pinheiro & Collobert, CVPR 2015),
    log(mean(exp(logit))), which lies between mean and maximum: a class has a high score if it is somewhere. An image is
    background only if all of it is, so the background's score is the smooth minimum, -log(mean(exp(-logit))).

    Attributes:
        background: Index of the class that is the background; None without one.
        key: The part of the output that holds the class scores per pixel.
        box: Where the image lies in the network input; None if it covers all of it. Pixels outside are left out.
    """

    background: int | None = None
    key: Key = None
    box: ImageBox | None = None

    def __call__(self, output: Any) -> Tensor:
        """Return the class scores `(b, k)` of an output."""
        dense = dense_scores(output, self.key)
        rows, columns = image_cells(self.box, dense.shape[2], dense.shape[3])
        logits = dense[:, :, rows, columns].flatten(2)
        sign = torch.ones(logits.shape[1], 1, dtype=logits.dtype, device=logits.device)
        if self.background is not None and self.background < len(sign):
            sign[self.background] = -1
        pooled = (logits * sign).logsumexp(2) - torch.tensor(float(logits.shape[2])).log().to(logits)
        return pooled * sign[:, 0]


@lru_cache(maxsize=256)
def whole_image_scores(background: int | None, key: Key, box: ImageBox | None) -> WholeImageScores:
    """Return `WholeImageScores`, the same object for equal arguments: readers of the output are kept for each."""
    return WholeImageScores(background, key, box)
