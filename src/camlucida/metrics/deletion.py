"""Deletion: how fast the target's score decreases when pixels are removed, most relevant first."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.perturbation import Predict
from camlucida.metrics.common.perturbation_curve import curve_scores
from camlucida.metrics.registry import MetricOutput, Score, metric, preset
from camlucida.tasks import MULTICLASS, OutputActivation


@metric(
    paper="Petsiuk et al., BMVC 2018 (RISE), sec. 4.2 and the authors' evaluation.py",
    deviation="equal values are in random order, where the authors' code has that of an unstable sort; by default "
    "removed pixels are replaced by a blurred image, because the authors' constant grey is out of distribution "
    "(preset deletion/rise: grey)",
    outputs={
        "deletion": MetricOutput("low", worst=1.0, axes=("fraction of pixels removed", "probability of the class")),
        "deletion_logit": MetricOutput("neither", axes=("fraction of pixels removed", "logit of the class")),
    },
)
def deletion(
    relevance: Tensor,
    inputs: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    activation: OutputActivation = MULTICLASS,
    *,
    step: int | None = None,
    steps: int = 28,
    infill: str = "gaussian",
) -> dict[str, Score]:
    """Compute the area under the target's probability while pixels are removed, most relevant first.

    Petsiuk et al., 2018 (RISE). Also called pixel flipping.

    Args:
        relevance: `(H, W)` the map at input resolution.
        inputs: `(c, H, W)` the network input.
        target: The explained class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        predict: Computes class scores of modified inputs.
        random: Generator for the order of equal values.
        activation: How class scores become probabilities.
        step: Number of pixels per step; None: `steps` equal parts.
        steps: Number of parts if `step` is None.
        infill: What replaces removed pixels: gaussian, zeros, black, mean, rise_blur, road.

    Returns:
        `deletion`, the area under the curve of the probability, 0 to 1, lower is better; `deletion_logit`, the area
        under the curve of the class score, in its own units. The chance level is the value of a random order, see
        `random_cam`.

    forwards per map: one per point of the curve, 29
    """
    return curve_scores(
        relevance,
        inputs,
        target,
        pixel_scale,
        black_level,
        predict,
        random,
        activation,
        step=step,
        steps=steps,
        infill=infill,
        inserting=False,
    )


preset("deletion/rise", deletion, step=224, infill="zeros")
preset("deletion/rise-fast", deletion, step=1792, infill="zeros")
