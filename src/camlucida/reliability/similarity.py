"""Is the map about this class, and is it stable? Rank correlations with maps of other classes and of near copies."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.evaluation.metric_inputs import MetricInputs
from camlucida.maps import spearman

NOISE_STD = 0.02
"""Standard deviation of the noise, as a share of the way from black to white: hardly visible."""
SHIFT_FRACTION = 1 / 24
"""How far the picture is shifted, in sides."""
N_COPIES = 4
"""Noisy copies, and as many shifted ones."""
N_RANDOM_CLASSES = 3
"""Random classes."""
SHIFT_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))


@dataclass(frozen=True, eq=False)
class ClassSimilarity:
    """How alike the map and another one are.

    name         of the other one's class, or what was done to the picture
    correlation  of ranks, -1 to 1; NaN where the other map is the same everywhere
    map          (H, W) the other map, on the network's input, shifted back
    """

    name: str
    correlation: float
    map: Tensor = field(repr=False)


def class_similarities(evidence: MetricInputs, classes: list[int], names: list[str]) -> tuple[ClassSimilarity, ...]:
    """The same picture's maps for other classes."""
    if not classes:
        return ()
    maps = evidence.explain_class(classes).cpu()
    return tuple(
        ClassSimilarity(name, rank_correlation(evidence.relevance, m), m) for name, m in zip(names, maps, strict=True)
    )


def other_classes(evidence: MetricInputs) -> list[int]:
    """The likeliest class but the target's, then random ones."""
    model_input = evidence.model_input
    others = [k for k in model_input.logits.argsort(descending=True, stable=True).tolist() if k != model_input.target]
    order = torch.randperm(len(others) - 1, generator=model_input.random("classes")).tolist()
    return [others[0], *(others[1 + i] for i in order[:N_RANDOM_CLASSES])]


def noise_similarities(evidence: MetricInputs) -> tuple[ClassSimilarity, ...]:
    """Maps of the picture with a little noise on it."""
    inputs = evidence.model_input.inputs
    noise = torch.randn(
        (N_COPIES, *inputs.shape[1:]), generator=evidence.model_input.random("noise"), dtype=torch.float32
    )
    maps = evidence.explain(inputs + NOISE_STD * evidence.model_input.pixel_scale * noise.to(inputs)).cpu()
    return tuple(ClassSimilarity("noise", rank_correlation(evidence.relevance, m), m) for m in maps)


def shift_similarities(evidence: MetricInputs) -> tuple[ClassSimilarity, ...]:
    """Maps of the picture shifted a little each way, its edge repeated, shifted back and compared where both look."""
    inputs = evidence.model_input.inputs
    height, width = inputs.shape[-2:]
    y, x = max(1, round(SHIFT_FRACTION * height)), max(1, round(SHIFT_FRACTION * width))
    padded = F.pad(inputs, (x, x, y, y), mode="replicate")
    starts = [(y - y * down, x - x * across) for across, down in SHIFT_DIRECTIONS]
    shifted = torch.cat([padded[..., a : a + height, b : b + width] for a, b in starts])
    maps = evidence.explain(shifted).cpu()
    unshifted = torch.stack([m.roll((a - y, b - x), (0, 1)) for m, (a, b) in zip(maps, starts, strict=True)])
    inner = (slice(y, height - y), slice(x, width - x))
    unshifted = F.pad(unshifted[:, *inner], (x, x, y, y))  # what came round from the other side says nothing here
    return tuple(ClassSimilarity("shift", rank_correlation(evidence.relevance[inner], m[inner]), m) for m in unshifted)


def rank_correlation(first_map: Tensor, second_map: Tensor) -> float:
    """Spearman's rank correlation of two maps; NaN where one is the same everywhere or not finite."""
    first, second = (map_.detach().cpu().flatten()[None] for map_ in (first_map, second_map))
    if not bool(first.isfinite().all() and second.isfinite().all()):
        return float("nan")
    return float(spearman(first, second))
