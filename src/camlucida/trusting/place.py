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
from camlucida.model_input import Sight
from camlucida.tensors import gaussian_blur
from camlucida.types import ProgressCallback

TOP = 0.2
"""The share of the picture that is blurred out: where the map is highest."""
BLUR = 1 / 8
"""Standard deviation of the blur that stands in for what is taken away, in sides of the picture."""
FEATHER = 1 / 32
"""Standard deviation of the soft edge of what is taken away, in sides: a hard edge is evidence of its own."""
QUARTERS = 4
"""Shifts are by quarters of the side, on the torus."""
OFF_MIDDLE = (1 / 16, 1 / 32)
"""Where mirrors cross and turns turn, in sides (x, y) off the middle. Things stand in the middle of pictures, and
turned about it a map would cover its object again, eight times: of 40 toybox scenes 35 came to p <= .05 with turns
about the middle, 39 with these."""
SAME = 1e-6
"""Falls (in nats) that differ by less are equal: a move that gives the same picture gives it up to rounding."""


@dataclass(frozen=True, eq=False)
class Place:
    """What became of the class when what the map marks was blurred out, against the same shape in other places.

    falls     (moves,) of the log-probability, in nats; the first is that of the map itself
    marked    (H, W) from 0 to 1: what was blurred out, on the network's input
    infill    (c, H, W) the blurred picture
    """

    falls: Tensor = field(repr=False)
    marked: Tensor = field(repr=False)
    infill: Tensor = field(repr=False)

    @property
    def p(self) -> float:
        """The share of all moves, that of not moving included, with a fall as large."""
        return float((self.falls >= self.falls[0] - SAME).double().mean())

    @property
    def fall(self) -> float:
        """Of the log-probability, where the map is, in nats."""
        return float(self.falls[0])

    @property
    def elsewhere(self) -> float:
        """The mean fall of the moved maps, in nats."""
        return float(self.falls[1:].mean())


def place(sight: Sight, relevance: Tensor, *, moves: int = 128, tick: ProgressCallback | None = None) -> Place | None:
    """Test whether a map (H, W) on the network's input marks what the class's score depends on.

    moves    128: shifts, mirrors and quarter turns; 64 without mirrors; 32 half turns only. Of an oblong input there
             are no quarter turns: 64 with mirrors, 32 without. Less is quicker and finds less
    returns  None of a map that is the same everywhere, or not finite: it marks no place
    """
    seen = relevance.detach().cpu().double()
    if not bool(seen.isfinite().all()) or float(seen.max()) == float(seen.min()):
        return None
    height, width = seen.shape
    marked = feathered(top(canvas(seen), sight.random("place")))
    moved = torch.stack([one[:height, :width] for one in group(marked, moves)]).to(sight.inputs)
    infill = blurred(sight.inputs, BLUR * min(height, width), "reflect")

    def without(which: Tensor) -> Tensor:
        share = moved[which.to(moved.device)][:, None]
        return sight.inputs * (1 - share) + infill * share

    after = sight.predict(without, len(moved), tick=tick).double().log_softmax(1)[:, sight.target]
    before = sight.logits.double().log_softmax(0)[sight.target]
    return Place((before - after).cpu(), moved[0].cpu(), infill[0].cpu())


def canvas(map_: Tensor) -> Tensor:
    """The map with as many rows and columns repeated at its end as make its sides divisible by four.

    On other sides quarters would have to be rounded, and the moves would be no group.
    """
    right, below = (-map_.shape[1]) % QUARTERS, (-map_.shape[0]) % QUARTERS
    return F.pad(map_[None, None], (0, right, 0, below), mode="replicate")[0, 0]


def top(map_: Tensor, random: torch.Generator, share: float = TOP) -> Tensor:
    """1 where the map (H, W) is among its highest `share`, by rank; equal values are ranked by chance."""
    chance = torch.rand(map_.numel(), generator=random, dtype=torch.float64)
    order = np.lexsort((chance.numpy(), map_.flatten().numpy()))
    chosen = torch.zeros(map_.numel(), dtype=torch.float64)
    chosen[torch.from_numpy(order[len(order) - round(share * len(order)) :].copy())] = 1
    return chosen.view_as(map_)


def feathered(mask: Tensor) -> Tensor:
    """With soft edges; on the torus, so that moving it first or afterwards is the same."""
    return blurred(mask[None, None], FEATHER * min(mask.shape), "circular")[0, 0]


def group(mask: Tensor, moves: int = 128) -> list[Tensor]:
    """A mask (H, W), sides divisible by four, moved by every move of the group; not at all comes first."""
    height, width = mask.shape
    turns, mirrors = _turns_and_mirrors(height == width, moves)
    x, y = round(OFF_MIDDLE[0] * width), round(OFF_MIDDLE[1] * height)
    middle = mask.roll((-y, -x), (0, 1))
    found = []
    for turn in turns:
        for mirror in mirrors:
            turned = torch.rot90(middle, turn, (0, 1))
            turned = turned.flip(1) if mirror else turned
            found += [
                turned.roll((y + down * height // QUARTERS, x + across * width // QUARTERS), (0, 1))
                for down in range(QUARTERS)
                for across in range(QUARTERS)
            ]
    return found


def blurred(pictures: Tensor, sigma: float, border: str) -> Tensor:
    """Gaussian blur of pictures (b, c, H, W), `sigma` in pixels, cut off at three of them; `border` as of `F.pad`."""
    radius = max(1, min(round(3 * sigma), min(pictures.shape[-2:]) - 1))
    return gaussian_blur(pictures, sigma, radius, border)


def _turns_and_mirrors(square: bool, moves: int) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    if moves not in (128, 64, 32):
        raise MethodError(f"moves is 128, 64 or 32, not {moves!r}.")
    if square and moves > 32:
        return (0, 1, 2, 3), ((False, True) if moves == 128 else (False,))
    return (0, 2), ((False, True) if moves > 32 else (False,))
