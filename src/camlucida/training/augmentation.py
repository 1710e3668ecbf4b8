"""Random augmentation of images, determined by seed, epoch and image index only, so that it has no state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

MIN_CROP_AREA = 0.6
"""Smallest area of a crop, as a fraction of the image."""
MAX_CROP_ASPECT = 4 / 3
"""Largest ratio between the sides of a crop, relative to those of the image."""
JITTER_STRENGTH = 0.2
"""Largest relative change of brightness, contrast and saturation."""


def augment_image(image: Tensor, kinds: Sequence[str], key: Sequence[int]) -> Tensor:
    """Return a randomly augmented image.

    Args:
        image: The image `(3, h, w)` in [0, 1].
        kinds: The augmentations to apply: "flip" mirrors with probability 0.5, "crop" enlarges a random part to the
            original size, and "colour" changes brightness, contrast and saturation.
        key: Seed numbers; equal keys give equal results.

    Returns:
        The augmented image `(3, h, w)`.
    """
    rng = np.random.default_rng(list(key))
    flip_draw, area, shape, down, right, *tones = rng.random(
        8
    )  # all are drawn, so that the kinds are independent of each other
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
