"""Insertion: how fast the target's score increases when pixels are inserted, most relevant first."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.perturbation import Predict
from camlucida.metrics.common.perturbation_curve import curve_scores
from camlucida.metrics.registry import MetricOutput, Score, metric, preset
from camlucida.tasks import MULTICLASS, OutputActivation


@metric(
    paper="Petsiuk et al., BMVC 2018 (RISE), sec. 4.2 and the authors' evaluation.py",
    deviation="equal values are in random order, where the authors' code has that of an unstable sort; by default the "
    "blur is a Gaussian that leaves no shapes, where theirs is a box of 11 pixels with dark borders (preset "
    "insertion/rise: theirs)",
    outputs={
        "insertion": MetricOutput("high", worst=0.0, axes=("fraction of pixels inserted", "probability of the class")),
        "insertion_logit": MetricOutput("neither", axes=("fraction of pixels inserted", "logit of the class")),
    },
)
def insertion(
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
    """Compute the area under the target's probability while pixels are inserted, most relevant first.

    Petsiuk et al., 2018 (RISE): pixels of the input replace those of a blurred image.

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
        infill: The image into which pixels are inserted: gaussian, zeros, black, mean, rise_blur, road.

    Returns:
        `insertion`, the area under the curve of the probability, 0 to 1, higher is better; `insertion_logit`, the area
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
        inserting=True,
    )


preset("insertion/rise", insertion, step=224, infill="rise_blur")
preset("insertion/rise-fast", insertion, step=1792, infill="rise_blur")
