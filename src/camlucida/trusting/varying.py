"""A picture changed a little, and whether its map follows: noise, turns, shifts, blur, light."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.evidence import Evidence
from camlucida.trusting.agreement import alike
from camlucida.trusting.place import blurred


@dataclass(frozen=True)
class Change:
    """What is done to a picture as the network sees it, in this order: turned and shifted, blurred, lit, made noisy.

    angle   degrees, anticlockwise
    across  to the right, in shares of the width
    down    in shares of the height
    blur    standard deviation of a Gaussian, in shares of the shorter side
    light   added to every pixel, in shares of the way from black to white
    noise   standard deviation, in the same shares
    """

    angle: float = 0.0
    across: float = 0.0
    down: float = 0.0
    blur: float = 0.0
    light: float = 0.0
    noise: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether things lie elsewhere afterwards."""
        return any(value != 0 for value in (self.angle, self.across, self.down))


@dataclass(frozen=True, eq=False)
class Varied:
    """What became of a picture's map.

    inputs       (1, c, H, W) the changed picture, as the network wants it
    logits       (k,) what the model says about it
    raw          (h, w) its map on its own grid, signed
    map          (H, W) the same as it is shown, on the network's input, where things lie now
    back         (H, W) the same where they lay before; NaN for what has left the picture, or was never in it
    correlation  of ranks with the first map, over the places that both know; NaN where one is the same everywhere
    shared       how much of the picture that is, 0 to 1
    """

    inputs: Tensor = field(repr=False)
    logits: Tensor = field(repr=False)
    raw: Tensor = field(repr=False)
    map: Tensor = field(repr=False)
    back: Tensor = field(repr=False)
    correlation: float
    shared: float


def vary(evidence: Evidence, change: Change) -> Varied:
    """Change the picture, ask for the map of the same class again, and lay it back on the first."""
    sight = evidence.sight
    noise = torch.randn(sight.inputs.shape, generator=sight.random("vary"), dtype=torch.float32)
    inputs = varied(sight.inputs, change, sight.pixel, sight.black, noise.to(sight.inputs))
    logits = sight.predict(lambda which: inputs.expand(len(which), -1, -1, -1), 1)[0]
    raw = evidence.explainer.maps(sight, inputs, torch.tensor([sight.target]))[0]
    map_ = dataclasses.replace(evidence, raw=raw).relevance.cpu().float()
    back = returned(map_, change)
    known = back.isfinite()
    correlation = alike(evidence.relevance.cpu()[known], back[known]) if bool(known.any()) else math.nan
    return Varied(inputs, logits, raw, map_, back, correlation, float(known.double().mean()))


def varied(inputs: Tensor, change: Change, pixel: Tensor, black: Tensor, noise: Tensor) -> Tensor:
    """Pictures (b, c, H, W) with a change; what comes in from outside is the picture mirrored at its edge.

    pixel, black  (c, 1, 1) as of `Sight`; nothing becomes darker than black or brighter than white
    noise         (b, c, H, W) of standard deviation 1
    """
    made = inputs
    if change.moves:
        places = _places(change, inputs.shape[-2:], back=False).to(made)
        made = F.grid_sample(
            made, places.expand(len(made), -1, -1, -1), mode="bilinear", padding_mode="reflection", align_corners=False
        )
    if change.blur > 0:
        made = blurred(made, max(change.blur * min(made.shape[-2:]), 0.1), "reflect")
    if change.light != 0 or change.noise > 0:
        made = made + pixel * (change.light + change.noise * noise)
        made = made.maximum(black).minimum(black + pixel)
    return made


def returned(map_: Tensor, change: Change) -> Tensor:
    """A map (H, W) of a changed picture, laid back on the first one; NaN where the changed one does not show it."""
    if not change.moves:
        return map_
    places = _places(change, map_.shape, back=True)
    laid = F.grid_sample(
        map_[None, None].double(), places.double(), mode="bilinear", padding_mode="border", align_corners=False
    )
    shown = (places.abs() <= 1).all(-1)[0]
    return laid[0, 0].to(map_.dtype).where(shown, torch.nan)


def _places(change: Change, size: tuple[int, ...] | torch.Size, *, back: bool) -> Tensor:
    """Where to look (1, H, W, 2) for what shall lie at each pixel, as of `F.grid_sample`.

    Forth, things are turned about the middle and then shifted; so a pixel is looked up by shifting it back and then
    turning it back. Back is the other way round.
    """
    height, width = size[-2:]
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - width / 2).expand(height, width)
    y = (torch.arange(height, dtype=torch.float64) + 0.5 - height / 2)[:, None].expand(height, width)
    angle = math.radians(change.angle)
    right, below = change.across * width, change.down * height
    if back:
        x, y = _turned(x, y, angle)
        x, y = x + right, y + below
    else:
        x, y = _turned(x - right, y - below, -angle)
    return torch.stack([2 * x / width, 2 * y / height], -1)[None].float()


def _turned(x: Tensor, y: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Points turned anticlockwise about the middle, as seen: y runs down."""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x + sin * y, -sin * x + cos * y
