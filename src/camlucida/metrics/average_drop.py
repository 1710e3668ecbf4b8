"""Average drop, increase and gain: what is left of the class where only the map is looked at."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.perturbation import Predict, probability
from camlucida.metrics.common.ranking import is_rankable, ranks
from camlucida.metrics.registry import MetricOutput, metric, preset

NAMES = ("average_drop", "average_increase", "average_gain")


@metric(
    paper="Chattopadhay et al., WACV 2018 (Grad-CAM++), sec. 5.1 (drop, increase); Zhang et al., WACV 2024 (Opti-CAM), "
    "eq. 12 (gain)",
    deviation="shares of 1, not percent. The map is stretched to 0..1 on the network's input, after it was enlarged",
    outputs={
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
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    mask: Literal["soft", "top"] = "soft",
    fraction: float = 0.5,
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
    saliency = minmax_scale(relevance) if mask == "soft" else _top_mask(relevance, mask, fraction, random)
    before = float(probability(logits, target))
    masked_input = masked(inputs, saliency, _background(on, black_level))
    after = float(probability(predict(lambda which: masked_input.expand(len(which), -1, -1, -1), 1), target))
    drop = max(0.0, before - after) / before if before else float("nan")
    gain = max(0.0, after - before) / (1 - before) if before < 1 else 0.0
    return dict(zip(NAMES, (drop, float(after > before), gain), strict=True))


def minmax_scale(relevance: Tensor) -> Tensor:
    """From 0 to 1; NaN where it is the same everywhere."""
    low, high = relevance.min(), relevance.max()
    return (relevance - low) / (high - low)


def masked(inputs: Tensor, saliency: Tensor, background: Tensor | float = 0.0) -> Tensor:
    """The picture (1, c, H, W) as far as the map (H, W) from 0 to 1 lets it through."""
    return (background + saliency.to(inputs) * (inputs - background))[None]


def _top_mask(relevance: Tensor, mask: str, fraction: float, random: torch.Generator) -> Tensor:
    if mask != "top" or not 0 < fraction <= 1:
        raise MetricError(f"mask is 'soft', or 'top' with a share from 0 to 1; not {mask!r} with {fraction}.")
    return (ranks(relevance, random) < round(fraction * relevance.numel())).to(relevance)


def _background(on: str, black_level: Tensor) -> Tensor:
    if on not in ("input", "pixels"):
        raise MetricError(f"on is 'input' or 'pixels', not {on!r}.")
    return black_level if on == "pixels" else torch.zeros_like(black_level)


preset("drop/gradcam++", average_drop)
preset("drop/scorecam", average_drop, mask="top", fraction=0.5)
