"""An exact randomisation test of the position of a map, under a group of shifts, mirrors and rotations.

The highlighted region of the map is blurred, and the drop in the target's log-probability is compared with the drops
for transformed copies of the region. The transforms form a group. If the map were independent of the image, every copy
would be equally likely to be the map, so its rank among the copies is uniform and P(p <= a) <= a holds exactly for
every network, image and statistic. Arbitrary small shifts give no such guarantee, and most of them still cover the
object.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.errors import MethodError
from camlucida.evaluation.model_input import ModelInput
from camlucida.maps import gaussian_blur
from camlucida.types import ProgressCallback

TOP_FRACTION = 0.2
"""Fraction of the image that is blurred: where the map is highest."""
BLUR_SIGMA = 1 / 8
"""Standard deviation of the blur that replaces the highlighted region, as a fraction of the shorter side."""
FEATHER_SIGMA = 1 / 32
"""Standard deviation of the region's soft edge, as a fraction of the shorter side. A hard edge would add evidence of
its own.
"""
N_SHIFTS = 4
"""Number of shifts per axis: by multiples of a quarter of the side, with wrap-around."""
CENTRE_OFFSET = (1 / 16, 1 / 32)
"""Centre of the mirrors and rotations, as an offset (x, y) from the middle, in fractions of the sides. Objects usually
lie in the middle of images; rotated about the middle, a map would cover its object again, eight times. Of 40 toybox
scenes, 35 reached p <= .05 with rotations about the middle, and 39 with this offset.
"""
TIE_TOLERANCE = 1e-6
"""Drops (in nats) that differ by less count as equal: transforms that produce the same network input produce the same
drop up to rounding.
"""


@dataclass(frozen=True, eq=False)
class PositionTest:
    """Drops in the target's log-probability when the highlighted region is blurred, under every transform.

    Attributes:
        drops: Drops `(n_transforms,)` in nats; the first is that of the map itself.
        highlighted: The blurred region on the network input `(H, W)`, in [0, 1].
        infill: The blurred image `(c, H, W)` that replaces the region.
    """

    drops: Tensor = field(repr=False)
    highlighted: Tensor = field(repr=False)
    infill: Tensor = field(repr=False)

    @property
    def p(self) -> float:
        """Return the p-value: the fraction of all transforms, the identity included, with a drop at least as large."""
        return float((self.drops >= self.drops[0] - TIE_TOLERANCE).double().mean())

    @property
    def drop(self) -> float:
        """Return the drop in the log-probability for the map itself, in nats."""
        return float(self.drops[0])

    @property
    def mean_drop_elsewhere(self) -> float:
        """Return the mean drop for the transformed maps, in nats."""
        return float(self.drops[1:].mean())


def position_test(
    model_input: ModelInput, relevance: Tensor, *, n_transforms: int = 128, progress: ProgressCallback | None = None
) -> PositionTest | None:
    """Test whether the target's score depends on the region that a map highlights.

    Args:
        model_input: The network input and its target.
        relevance: The map on the network input `(H, W)`.
        n_transforms: Number of transforms: 128 are shifts, mirrors and quarter turns; 64 are without mirrors; 32 have
            half turns only. An oblong input has no quarter turns: 64 are with mirrors, 32 without. Fewer transforms are
            faster and give the test less power.
        progress: Called with the number of network inputs done and the total number.

    Returns:
        The drops; None for a map that is constant or not finite, which highlights no position.

    Raises:
        MethodError: If `n_transforms` is not 128, 64 or 32.
    """
    values = relevance.detach().cpu().double()
    if not bool(values.isfinite().all()) or float(values.max()) == float(values.min()):
        return None
    height, width = values.shape
    highlighted = feather(top_pixels(pad_to_grid(values), model_input.random("place")))
    transformed = transform_group(highlighted, n_transforms)
    masks = torch.stack([mask[:height, :width] for mask in transformed])
    drops, infill = blur_drops(model_input, masks, progress)
    return PositionTest(drops, masks[0].to(infill.dtype), infill)


def blur_drops(
    model_input: ModelInput, masks: Tensor, progress: ProgressCallback | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the drops in the target's log-probability when regions of the network input are blurred.

    Args:
        model_input: The network input and its target.
        masks: Weight of the blurred image at each pixel, for each region `(n, H, W)`, in [0, 1].
        progress: Called with the number of network inputs done and the total number.

    Returns:
        The drops `(n,)` in nats, and the blurred image `(c, H, W)`; both on the CPU.
    """
    inputs = model_input.inputs
    infill = blur_images(inputs, BLUR_SIGMA * min(inputs.shape[-2:]), "reflect")
    weights = masks.to(inputs)[:, None]

    def blurred(indices: Tensor) -> Tensor:
        weight = weights[indices.to(weights.device)]
        return inputs * (1 - weight) + infill * weight

    log_probabilities = model_input.activation.log_probabilities
    scores = model_input.predict(blurred, len(masks), progress=progress).double()
    after = log_probabilities(scores)[:, model_input.target]
    before = log_probabilities(model_input.logits.double())[model_input.target]
    return (before - after).cpu(), infill[0].cpu()


def pad_to_grid(map_: Tensor) -> Tensor:
    """Return the map with its last rows and columns repeated, so that both sides are divisible by four.

    For other sides, quarters would have to be rounded, and the transforms would not form a group.
    """
    right, below = (-map_.shape[1]) % N_SHIFTS, (-map_.shape[0]) % N_SHIFTS
    return F.pad(map_[None, None], (0, right, 0, below), mode="replicate")[0, 0]


def top_pixels(map_: Tensor, generator: torch.Generator, fraction: float = TOP_FRACTION) -> Tensor:
    """Return a mask of the highest values of a map, by rank; ties are broken at random.

    Args:
        map_: The map `(H, W)`.
        generator: Random generator for ties.
        fraction: Fraction of the pixels to select.

    Returns:
        A mask `(H, W)` of 0 and 1.
    """
    tie_breaker = torch.rand(map_.numel(), generator=generator, dtype=torch.float64)
    order = np.lexsort((tie_breaker.numpy(), map_.flatten().numpy()))
    chosen = torch.zeros(map_.numel(), dtype=torch.float64)
    chosen[torch.from_numpy(order[len(order) - round(fraction * len(order)) :].copy())] = 1
    return chosen.view_as(map_)


def feather(mask: Tensor) -> Tensor:
    """Return the mask with soft edges; with wrap-around, so that the blur commutes with shifts."""
    return blur_images(mask[None, None], FEATHER_SIGMA * min(mask.shape), "circular")[0, 0]


def transform_group(mask: Tensor, n_transforms: int = 128) -> list[Tensor]:
    """Return all transforms of a mask, the identity first.

    Args:
        mask: A mask `(H, W)` whose sides are divisible by four.
        n_transforms: 128, 64 or 32.

    Returns:
        The transformed masks.
    """
    height, width = mask.shape
    rotations, flips = _rotations_and_flips(height == width, n_transforms)
    x, y = round(CENTRE_OFFSET[0] * width), round(CENTRE_OFFSET[1] * height)
    centred = mask.roll((-y, -x), (0, 1))
    transformed = []
    for rotation in rotations:
        for flip in flips:
            rotated = torch.rot90(centred, rotation, (0, 1))
            rotated = rotated.flip(1) if flip else rotated
            transformed += [
                rotated.roll((y + down * height // N_SHIFTS, x + across * width // N_SHIFTS), (0, 1))
                for down in range(N_SHIFTS)
                for across in range(N_SHIFTS)
            ]
    return transformed


def blur_images(images: Tensor, sigma: float, border: str) -> Tensor:
    """Blur images with a Gaussian kernel, clipped at three standard deviations.

    Args:
        images: Images `(b, c, H, W)`.
        sigma: Standard deviation in pixels.
        border: Padding mode of `torch.nn.functional.pad`.

    Returns:
        The blurred images.
    """
    radius = max(1, min(round(3 * sigma), min(images.shape[-2:]) - 1))
    return gaussian_blur(images, sigma, radius, border)


def _rotations_and_flips(square: bool, n_transforms: int) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return the quarter turns and the mirrors of the group."""
    if n_transforms not in (128, 64, 32):
        raise MethodError(f"n_transforms must be 128, 64 or 32, not {n_transforms!r}.")
    if square and n_transforms > 32:
        return (0, 1, 2, 3), ((False, True) if n_transforms == 128 else (False,))
    return (0, 2), ((False, True) if n_transforms > 32 else (False,))
