"""Each picture a little different in each epoch. What is done follows from seed, epoch and picture alone: no state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

SMALLEST = 0.6
"""Share of the picture's area that a crop keeps at least."""
OBLONG = 4 / 3
"""How much wider than high, or higher than wide, a crop is at most."""
STRENGTH = 0.2
"""How far brightness, contrast and saturation go at most, up or down."""


def augmented(picture: Tensor, kinds: Sequence[str], key: Sequence[int]) -> Tensor:
    """A picture (3, h, w) in [0, 1], changed as `kinds` say.

    flip    mirrored, every second time
    crop    a part of it, enlarged to its size
    colour  brighter or darker, with more or less contrast and saturation
    key     numbers that decide by how much: the same ones give the same picture
    """
    rng = np.random.default_rng(list(key))
    mirrored, area, shape, down, right, *tones = rng.random(8)  # all drawn, so that one kind does not move another
    if "crop" in kinds:
        picture = _cropped(picture, float(SMALLEST + (1 - SMALLEST) * area), OBLONG ** (2 * shape - 1), down, right)
    if "flip" in kinds and mirrored < 0.5:
        picture = picture.flip(2)
    if "colour" in kinds:
        picture = _toned(picture, [float(1 + STRENGTH * (2 * tone - 1)) for tone in tones])
    return picture


def _cropped(picture: Tensor, area: float, shape: float, down: float, right: float) -> Tensor:
    high, wide = picture.shape[1:]
    height = min(max(round(high * (area / shape) ** 0.5), 1), high)
    width = min(max(round(wide * (area * shape) ** 0.5), 1), wide)
    top, left = int(down * (high - height + 1)), int(right * (wide - width + 1))
    part = picture[None, :, top : top + height, left : left + width]
    return interpolate(part, (high, wide), mode="bilinear", align_corners=False, antialias=True)[0]


def _toned(picture: Tensor, tones: Sequence[float]) -> Tensor:
    bright, contrast, saturation = tones
    picture = picture * bright
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    grey = (picture * weights).sum(0, keepdim=True)
    picture = grey.mean() + contrast * (grey + saturation * (picture - grey) - grey.mean())
    return picture.clamp(0, 1)
