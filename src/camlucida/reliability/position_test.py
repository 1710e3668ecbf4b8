"""Does the place matter? An exact randomisation test: the same map, moved over the picture by every move of a group.

Why a group: were the map blind to the picture, every moved copy could as well have been the map, so its rank among
them is uniform, and P(p <= a) <= a holds exactly, whatever network, picture and statistic. Arbitrary small shifts
have no such guarantee, and most of them still cover the object.
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
"""The share of the picture that is blurred out: where the map is highest."""
BLUR_SIGMA = 1 / 8
"""Standard deviation of the blur that stands in for what is taken away, in sides of the picture."""
FEATHER_SIGMA = 1 / 32
"""Standard deviation of the soft edge of what is taken away, in sides: a hard edge is evidence of its own."""
N_SHIFTS = 4
"""Shifts are by quarters of the side, on the torus."""
CENTRE_OFFSET = (1 / 16, 1 / 32)
"""Where mirrors cross and turns turn, in sides (x, y) off the middle. Things stand in the middle of pictures, and
turned about it a map would cover its object again, eight times: of 40 toybox scenes 35 came to p <= .05 with turns
about the middle, 39 with these."""
TIE_TOLERANCE = 1e-6
"""Falls (in nats) that differ by less are equal: a move that gives the same picture gives it up to rounding."""


@dataclass(frozen=True, eq=False)
class PositionTest:
    """What became of the class when what the map marks was blurred out, against the same shape in other places.

    falls     (moves,) of the log-probability, in nats; the first is that of the map itself
    marked    (H, W) from 0 to 1: what was blurred out, on the network's input
    infill    (c, H, W) the blurred picture
    """

    drops: Tensor = field(repr=False)
    highlighted: Tensor = field(repr=False)
    infill: Tensor = field(repr=False)

    @property
    def p(self) -> float:
        """The share of all moves, that of not moving included, with a fall as large."""
        return float((self.drops >= self.drops[0] - TIE_TOLERANCE).double().mean())

    @property
    def drop(self) -> float:
        """Of the log-probability, where the map is, in nats."""
        return float(self.drops[0])

    @property
    def mean_drop_elsewhere(self) -> float:
        """The mean fall of the moved maps, in nats."""
        return float(self.drops[1:].mean())


def position_test(
    model_input: ModelInput, relevance: Tensor, *, n_transforms: int = 128, progress: ProgressCallback | None = None
) -> PositionTest | None:
    """Test whether a map (H, W) on the network's input marks what the class's score depends on.

    moves    128: shifts, mirrors and quarter turns; 64 without mirrors; 32 half turns only. Of an oblong input there
             are no quarter turns: 64 with mirrors, 32 without. Less is quicker and finds less
    returns  None of a map that is the same everywhere, or not finite: it marks no place
    """
    values = relevance.detach().cpu().double()
    if not bool(values.isfinite().all()) or float(values.max()) == float(values.min()):
        return None
    height, width = values.shape
    highlighted = feather(top_pixels(pad_to_grid(values), model_input.random("place")))
    masks = torch.stack([one[:height, :width] for one in transform_group(highlighted, n_transforms)]).to(
        model_input.inputs
    )
    infill = blur_images(model_input.inputs, BLUR_SIGMA * min(height, width), "reflect")

    def without(which: Tensor) -> Tensor:
        share = masks[which.to(masks.device)][:, None]
        return model_input.inputs * (1 - share) + infill * share

    after = model_input.predict(without, len(masks), progress=progress).double().log_softmax(1)[:, model_input.target]
    before = model_input.logits.double().log_softmax(0)[model_input.target]
    return PositionTest((before - after).cpu(), masks[0].cpu(), infill[0].cpu())


def pad_to_grid(map_: Tensor) -> Tensor:
    """The map with as many rows and columns repeated at its end as make its sides divisible by four.

    On other sides quarters would have to be rounded, and the moves would be no group.
    """
    right, below = (-map_.shape[1]) % N_SHIFTS, (-map_.shape[0]) % N_SHIFTS
    return F.pad(map_[None, None], (0, right, 0, below), mode="replicate")[0, 0]


def top_pixels(map_: Tensor, generator: torch.Generator, fraction: float = TOP_FRACTION) -> Tensor:
    """1 where the map (H, W) is among its highest `share`, by rank; equal values are ranked by chance."""
    tie_breaker = torch.rand(map_.numel(), generator=generator, dtype=torch.float64)
    order = np.lexsort((tie_breaker.numpy(), map_.flatten().numpy()))
    chosen = torch.zeros(map_.numel(), dtype=torch.float64)
    chosen[torch.from_numpy(order[len(order) - round(fraction * len(order)) :].copy())] = 1
    return chosen.view_as(map_)


def feather(mask: Tensor) -> Tensor:
    """With soft edges; on the torus, so that moving it first or afterwards is the same."""
    return blur_images(mask[None, None], FEATHER_SIGMA * min(mask.shape), "circular")[0, 0]


def transform_group(mask: Tensor, n_transforms: int = 128) -> list[Tensor]:
    """A mask (H, W), sides divisible by four, moved by every move of the group; not at all comes first."""
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
    """Gaussian blur of pictures (b, c, H, W), `sigma` in pixels, cut off at three of them; `border` as of `F.pad`."""
    radius = max(1, min(round(3 * sigma), min(images.shape[-2:]) - 1))
    return gaussian_blur(images, sigma, radius, border)


def _rotations_and_flips(square: bool, n_transforms: int) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    if n_transforms not in (128, 64, 32):
        raise MethodError(f"moves is 128, 64 or 32, not {n_transforms!r}.")
    if square and n_transforms > 32:
        return (0, 1, 2, 3), ((False, True) if n_transforms == 128 else (False,))
    return (0, 2), ((False, True) if n_transforms > 32 else (False,))
