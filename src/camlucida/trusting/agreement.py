"""Is the map about this class, and is it stable? Rank correlations with maps of other classes and of near copies."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.evidence import Evidence
from camlucida.tensors import spearman

NOISE = 0.02
"""Standard deviation of the noise, as a share of the way from black to white: hardly visible."""
SHIFT = 1 / 24
"""How far the picture is shifted, in sides."""
COPIES = 4
"""Noisy copies, and as many shifted ones."""
OTHERS = 3
"""Random classes."""
SIDEWAYS = ((1, 0), (-1, 0), (0, 1), (0, -1))


@dataclass(frozen=True, eq=False)
class Likeness:
    """How alike the map and another one are.

    name         of the other one's class, or what was done to the picture
    correlation  of ranks, -1 to 1; NaN where the other map is the same everywhere
    map          (H, W) the other map, on the network's input, shifted back
    """

    name: str
    correlation: float
    map: Tensor = field(repr=False)


def of_classes(evidence: Evidence, classes: list[int], names: list[str]) -> tuple[Likeness, ...]:
    """The same picture's maps for other classes."""
    if not classes:
        return ()
    maps = evidence.explain_class(classes).cpu()
    return tuple(Likeness(name, alike(evidence.relevance, m), m) for name, m in zip(names, maps, strict=True))


def other_classes(evidence: Evidence) -> list[int]:
    """The likeliest class but the target's, then random ones."""
    sight = evidence.sight
    rest = [k for k in sight.logits.argsort(descending=True, stable=True).tolist() if k != sight.target]
    order = torch.randperm(len(rest) - 1, generator=sight.random("classes")).tolist()
    return [rest[0], *(rest[1 + i] for i in order[:OTHERS])]


def of_noise(evidence: Evidence) -> tuple[Likeness, ...]:
    """Maps of the picture with a little noise on it."""
    inputs = evidence.sight.inputs
    noise = torch.randn((COPIES, *inputs.shape[1:]), generator=evidence.sight.random("noise"), dtype=torch.float32)
    maps = evidence.explain(inputs + NOISE * evidence.sight.pixel * noise.to(inputs)).cpu()
    return tuple(Likeness("noise", alike(evidence.relevance, m), m) for m in maps)


def of_shifts(evidence: Evidence) -> tuple[Likeness, ...]:
    """Maps of the picture shifted a little each way, its edge repeated, shifted back and compared where both look."""
    inputs = evidence.sight.inputs
    height, width = inputs.shape[-2:]
    y, x = max(1, round(SHIFT * height)), max(1, round(SHIFT * width))
    wide = F.pad(inputs, (x, x, y, y), mode="replicate")
    starts = [(y - y * down, x - x * across) for across, down in SIDEWAYS]
    shifted = torch.cat([wide[..., a : a + height, b : b + width] for a, b in starts])
    maps = evidence.explain(shifted).cpu()
    back = torch.stack([m.roll((a - y, b - x), (0, 1)) for m, (a, b) in zip(maps, starts, strict=True)])
    inner = (slice(y, height - y), slice(x, width - x))
    back = F.pad(back[:, *inner], (x, x, y, y))  # what came round from the other side says nothing here
    return tuple(Likeness("shift", alike(evidence.relevance[inner], m[inner]), m) for m in back)


def alike(one: Tensor, other: Tensor) -> float:
    """Spearman's rank correlation of two maps; NaN where one is the same everywhere or not finite."""
    first, second = (map_.detach().cpu().flatten()[None] for map_ in (one, other))
    if not bool(first.isfinite().all() and second.isfinite().all()):
        return float("nan")
    return float(spearman(first, second))
