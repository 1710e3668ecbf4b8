"""Deletion: how fast the class is lost when what is called important goes first."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.metrics.common.perturbation import Predict
from camlucida.metrics.common.perturbation_curve import curve_scores
from camlucida.metrics.registry import MetricOutput, Score, metric, preset


@metric(
    paper="Petsiuk et al., BMVC 2018 (RISE), sec. 4.2 and the authors' evaluation.py",
    deviation="equal values go in an order drawn by lot, where the authors' is that of an unstable sort; by default "
    "the picture goes over into a blur of itself: their grey holes are pictures the network has never seen (preset "
    "deletion/rise has them)",
    outputs={
        "deletion": MetricOutput("low", worst=1.0, axes=("share of the picture taken out", "probability of the class")),
        "deletion_logit": MetricOutput("neither", axes=("share of the picture taken out", "logit of the class")),
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
    *,
    step: int | None = None,
    steps: int = 28,
    infill: str = "gaussian",
) -> dict[str, Score]:
    """How much of the class is left on average while pixels are taken away, the most relevant first.

    relevance  (H, W)     the map on the network's input
    inputs     (c, H, W)  the picture
    step       pixels at once; None: the picture in `steps` equal parts
    infill     what takes their place: gaussian, zeros, black, mean, rise_blur, road
    returns    deletion, the area under the curve of the probability, 0 to 1, low is good; deletion_logit, the area
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
        inserting=False,
    )


preset("deletion/rise", deletion, step=224, infill="zeros")
preset("deletion/rise-fast", deletion, step=1792, infill="zeros")
