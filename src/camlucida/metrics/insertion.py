"""Insertion: how fast the class is seen when what is called important comes first."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.perturbation import Predict
from camlucida.metrics.common.perturbation_curve import curve_scores
from camlucida.metrics.registry import MetricOutput, Score, metric, preset


@metric(
    paper="Petsiuk et al., BMVC 2018 (RISE), sec. 4.2 and the authors' evaluation.py",
    deviation="equal values come in an order drawn by lot, where the authors' is that of an unstable sort; by default "
    "the blur is a Gaussian that leaves no shapes: theirs is a box of 11 pixels with dark borders (preset "
    "insertion/rise has it)",
    outputs={
        "insertion": MetricOutput("high", worst=0.0, axes=("share of the picture put in", "probability of the class")),
        "insertion_logit": MetricOutput("neither", axes=("share of the picture put in", "logit of the class")),
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
    *,
    step: int | None = None,
    steps: int = 28,
    infill: str = "gaussian",
) -> dict[str, Score]:
    """How much of the class is seen on average while pixels are put into a blurred picture, the most relevant first.

    relevance  (H, W)     the map on the network's input
    inputs     (c, H, W)  the picture
    step       pixels at once; None: the picture in `steps` equal parts
    infill     what they are put into: gaussian, zeros, black, mean, rise_blur, road
    returns    insertion, the area under the curve of the probability, 0 to 1, high is good; insertion_logit, the area
               under that of the class score, in its own units. Chance level: that of a random order, `random_cam`
    forwards   one a point: 29
    """
    return curve_scores(
        relevance,
        inputs,
        target,
        pixel_scale,
        black_level,
        predict,
        random,
        step=step,
        steps=steps,
        infill=infill,
        inserting=True,
    )


preset("insertion/rise", insertion, step=224, infill="rise_blur")
preset("insertion/rise-fast", insertion, step=1792, infill="rise_blur")
