"""Average drop, increase and gain: how the target's probability changes when the input is masked by the map."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.perturbation import Predict, probability
from camlucida.metrics.common.ranking import is_rankable, ranks
from camlucida.metrics.registry import MetricOutput, metric, preset
from camlucida.tasks import MULTICLASS, OutputActivation

NAMES = ("average_drop", "average_increase", "average_gain")


@metric(
    paper="Chattopadhay et al., WACV 2018 (Grad-CAM++), sec. 5.1 (drop, increase); Zhang et al., WACV 2024 (Opti-CAM), "
    "eq. 12 (gain)",
    deviation="fractions instead of percent; the map is min-max scaled to 0..1 after upsampling to the network input",
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
    activation: OutputActivation = MULTICLASS,
    *,
    mask: Literal["soft", "top"] = "soft",
    fraction: float = 0.5,
    on: Literal["input", "pixels"] = "input",
) -> dict[str, float]:
    """Compute the relative probability drop, increase and gain when the input is masked by the map.

    With p the probability on the unmodified input and o on the masked one: drop `max(0, p - o) / p`, increase `[o > p]`
    (Chattopadhay et al., 2018), gain `max(0, o - p) / (1 - p)` (Zhang et al., 2024).

    A map that is close to 1 at all positions has no drop: never rank maps by this metric alone. The measure "Win" of
    the Grad-CAM++ paper compares the average drop of two methods per image.

    Args:
        relevance: `(H, W)` the map at input resolution. A constant map cannot be scored.
        inputs: `(c, H, W)` the network input.
        logits: `(k,)` the class scores of the unmodified input.
        target: The explained class.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        predict: Computes class scores of modified inputs.
        random: Generator for the order of equal values.
        activation: How class scores become probabilities.
        mask: "soft": the map scaled to [0, 1]; "top": 1 for the largest values, 0 elsewhere.
        fraction: Fraction of the pixels that "top" keeps.
        on: What removed pixels become. "input": 0 in the network input, the mean colour; "pixels": black.

    Returns:
        `average_drop` in [0, 1], lower is better; `average_increase`, 0 or 1; `average_gain` in [0, 1].

    Raises:
        MetricError: For an unknown `mask` or `on`, or a `fraction` outside (0, 1].

    forwards per map: 1
    """
    if not is_rankable(relevance):
        return dict.fromkeys(NAMES, float("nan"))
    saliency = minmax_scale(relevance) if mask == "soft" else _top_mask(relevance, mask, fraction, random)
    before = float(probability(logits, target, activation))
    masked_input = masked(inputs, saliency, _background(on, black_level))
    after = float(
        probability(predict(lambda which: masked_input.expand(len(which), *inputs.shape), 1), target, activation)
    )
    drop = max(0.0, before - after) / before if before else float("nan")
    gain = max(0.0, after - before) / (1 - before) if before < 1 else 0.0
    return dict(zip(NAMES, (drop, float(after > before), gain), strict=True))


def minmax_scale(relevance: Tensor) -> Tensor:
    """Scale a map to [0, 1]; NaN for a constant map."""
    low, high = relevance.min(), relevance.max()
    return (relevance - low) / (high - low)


def masked(inputs: Tensor, saliency: Tensor, background: Tensor | float = 0.0) -> Tensor:
    """Return the input `(1, c, H, W)` blended with a background by a map `(H, W)` with values in [0, 1]."""
    return (background + saliency.to(inputs) * (inputs - background))[None]


def _top_mask(relevance: Tensor, mask: str, fraction: float, random: torch.Generator) -> Tensor:
    if mask != "top" or not 0 < fraction <= 1:
        raise MetricError(f"mask is 'soft', or 'top' with a fraction from 0 to 1, not {mask!r} with {fraction}.")
    return (ranks(relevance, random) < round(fraction * relevance.numel())).to(relevance)


def _background(on: str, black_level: Tensor) -> Tensor:
    if on not in ("input", "pixels"):
        raise MetricError(f"on is 'input' or 'pixels', not {on!r}.")
    return black_level if on == "pixels" else torch.zeros_like(black_level)


preset("drop/gradcam++", average_drop)
preset("drop/scorecam", average_drop, mask="top", fraction=0.5)
