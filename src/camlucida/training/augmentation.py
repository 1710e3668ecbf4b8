"""Each picture a little different in each epoch. What is done follows from seed, epoch and picture alone: no state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

MIN_CROP_AREA = 0.6
"""Share of the picture's area that a crop keeps at least."""
MAX_CROP_ASPECT = 4 / 3
"""How much wider than high, or higher than wide, a crop is at most."""
JITTER_STRENGTH = 0.2
"""How far brightness, contrast and saturation go at most, up or down."""


def augment_image(image: Tensor, kinds: Sequence[str], key: Sequence[int]) -> Tensor:
    """A picture (3, h, w) in [0, 1], changed as `kinds` say.

    flip    mirrored, every second time
    crop    a part of it, enlarged to its size
    colour  brighter or darker, with more or less contrast and saturation
    key     numbers that decide by how much: the same ones give the same picture
    """
    rng = np.random.default_rng(list(key))
    flip_draw, area, shape, down, right, *tones = rng.random(8)  # all drawn, so that one kind does not move another
    if "crop" in kinds:
        image = _random_resized_crop(
            image, float(MIN_CROP_AREA + (1 - MIN_CROP_AREA) * area), MAX_CROP_ASPECT ** (2 * shape - 1), down, right
        )
    if "flip" in kinds and flip_draw < 0.5:
        image = image.flip(2)
    if "colour" in kinds:
        image = _colour_jitter(image, [float(1 + JITTER_STRENGTH * (2 * tone - 1)) for tone in tones])
    return image


def _random_resized_crop(image: Tensor, area: float, aspect: float, down: float, right: float) -> Tensor:
    image_height, image_width = image.shape[1:]
    height = min(max(round(image_height * (area / aspect) ** 0.5), 1), image_height)
    width = min(max(round(image_width * (area * aspect) ** 0.5), 1), image_width)
    top, left = int(down * (image_height - height + 1)), int(right * (image_width - width + 1))
    part = image[None, :, top : top + height, left : left + width]
    return interpolate(part, (image_height, image_width), mode="bilinear", align_corners=False, antialias=True)[0]


def _colour_jitter(image: Tensor, factors: Sequence[float]) -> Tensor:
    brightness, contrast, saturation = factors
    image = image * brightness
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    grey = (image * weights).sum(0, keepdim=True)
    image = grey.mean() + contrast * (grey + saturation * (image - grey) - grey.mean())
    return image.clamp(0, 1)
