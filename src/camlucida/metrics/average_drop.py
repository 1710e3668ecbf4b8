"""Average drop, increase and gain: what is left of the class where only the map is looked at."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.parts.ranking import is_rankable, ranks
from camlucida.metrics.parts.removal import Predict, probability
from camlucida.metrics.registry import MetricOutput, metric, preset

NAMES = ("average_drop", "average_increase", "average_gain")


@metric(
    paper="Chattopadhay et al., WACV 2018 (Grad-CAM++), sec. 5.1 (drop, increase); Zhang et al., WACV 2024 (Opti-CAM), "
    "eq. 12 (gain)",
    deviation="shares of 1, not percent. The map is stretched to 0..1 on the network's input, after it was enlarged",
    gives={
        "average_drop": MetricOutput("low", worst=1.0),
        "average_increase": MetricOutput("high", worst=0.0),
        "average_gain": MetricOutput("high", worst=0.0),
    },
)
def average_drop(
    relevance: Tensor,
    inputs: Tensor,
    logits: Tensor,
    target: int,
    black: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    mask: Literal["soft", "top"] = "soft",
    share: float = 0.5,
    on: Literal["input", "pixels"] = "input",
) -> dict[str, float]:
    """By what share the probability falls when the picture is multiplied by the map; whether it rises, and how far.

    A map that is 1 almost everywhere drops nothing: never rank maps by this alone. Which of two methods drops less
    on a picture (Win) is a comparison of two rows of average_drop.

    relevance  (H, W)     the map on the network's input; of one that is the same everywhere nothing can be said
    inputs     (c, H, W)  the picture
    mask       "soft": the map from 0 to 1; "top": 1 for the largest values, else 0
    share      of "top", how much of the picture stays
    on         "input": what goes becomes the mean colour, as normalised; "pixels": it becomes black
    returns    average_drop max(0, p - o) / p, 0 to 1, low is good; average_increase, 1 where o > p, else 0;
               average_gain max(0, o - p) / (1 - p), 0 to 1
    forwards   1
    """
    if not is_rankable(relevance):
        return dict.fromkeys(NAMES, float("nan"))
    heat = minmax_scale(relevance) if mask == "soft" else _top(relevance, mask, share, random)
    before = float(probability(logits, target))
    seen = masked(inputs, heat, _background(on, black))
    after = float(probability(predict(lambda which: seen.expand(len(which), -1, -1, -1), 1), target))
    drop = max(0.0, before - after) / before if before else float("nan")
    gain = max(0.0, after - before) / (1 - before) if before < 1 else 0.0
    return dict(zip(NAMES, (drop, float(after > before), gain), strict=True))


def minmax_scale(relevance: Tensor) -> Tensor:
    """From 0 to 1; NaN where it is the same everywhere."""
    low, high = relevance.min(), relevance.max()
    return (relevance - low) / (high - low)


def masked(inputs: Tensor, heat: Tensor, background: Tensor | float = 0.0) -> Tensor:
    """The picture (1, c, H, W) as far as the map (H, W) from 0 to 1 lets it through."""
    return (background + heat.to(inputs) * (inputs - background))[None]


def _top(relevance: Tensor, mask: str, share: float, random: torch.Generator) -> Tensor:
    if mask != "top" or not 0 < share <= 1:
        raise MetricError(f"mask is 'soft', or 'top' with a share from 0 to 1; not {mask!r} with {share}.")
    return (ranks(relevance, random) < round(share * relevance.numel())).to(relevance)


def _background(on: str, black: Tensor) -> Tensor:
    if on not in ("input", "pixels"):
        raise MetricError(f"on is 'input' or 'pixels', not {on!r}.")
    return black if on == "pixels" else torch.zeros_like(black)


preset("drop/gradcam++", average_drop)
preset("drop/scorecam", average_drop, mask="top", share=0.5)
