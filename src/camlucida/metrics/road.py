"""ROAD (remove and debias): drops of the class score when pixels are imputed from their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from camlucida.metrics.common.infill import ROAD_NOISE, RemovePixels, check_fractions, pixel_remover
from camlucida.metrics.common.perturbation import Predict, probability
from camlucida.metrics.common.ranking import is_nonzero, ranks
from camlucida.metrics.registry import MetricOutput, Score, metric, preset
from camlucida.tasks import MULTICLASS, OutputActivation

NAMES = ("road_morf", "road_lerf", "road_gap", "road_morf_accuracy", "road_lerf_accuracy", "road_gap_accuracy")


@metric(
    paper="Rong et al., ICML 2022, sec. 5 (noisy linear imputation, MoRF and LeRF)",
    deviation="exactly the given fraction of the pixels, not those above a percentile, which would be all pixels of a "
    "map that is mostly 0; equal values are in random order; all fractions use the same noise; accuracy refers to the "
    "explained class, which is the paper's with target='true'; in LeRF, too, the fraction is that of removed pixels, "
    "where the authors' code has that of kept ones (preset road/rong: theirs)",
    outputs={
        "road_morf": MetricOutput("low", worst=1.0),
        "road_lerf": MetricOutput("high", worst=0.0),
        "road_gap": MetricOutput("high", worst=-1.0),
        "road_morf_accuracy": MetricOutput("low", worst=1.0),
        "road_lerf_accuracy": MetricOutput("high", worst=0.0),
        "road_gap_accuracy": MetricOutput("high", worst=-1.0),
    },
)
def road(
    relevance: Tensor,
    inputs: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    activation: OutputActivation = MULTICLASS,
    *,
    fractions: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    noise: float = ROAD_NOISE,
    lerf_keeps: bool = False,
) -> dict[str, Score]:
    """Compare the target's probability without the least relevant and without the most relevant pixels.

    ROAD (Rong et al., 2022): removed pixels are imputed from their neighbours, so that the shape of the mask carries no
    information. MoRF removes the most relevant pixels first, LeRF the least relevant.

    Args:
        relevance: `(H, W)` the map at input resolution.
        inputs: `(c, H, W)` the network input.
        target: The explained class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        predict: Computes class scores of modified inputs.
        random: Generator for the noise and for the order of equal values.
        activation: How class scores become probabilities.
        fractions: Fractions of the pixels that are removed, between 0 and 1.
        noise: Standard deviation of the noise added to imputed pixels, as a fraction of the range from black to white.
        lerf_keeps: Whether in LeRF the fractions are those that are kept, as in the authors' code.

    Returns:
        Means over the fractions, with curves. `road_morf`: the probability without the most relevant pixels, 0 to 1;
        `road_lerf`: without the least relevant ones; `road_gap`: LeRF - MoRF, -1 to 1, chance level 0. Those that
        end in `_accuracy` measure how often the target remains the top prediction instead of its probability.

    forwards per map: two per fraction, 18, and linear solves that cost about as much as 11
    """
    removed_fractions = check_fractions(fractions, "fractions")
    if not is_nonzero(relevance):
        return {name: Score(float("nan")) for name in NAMES}
    order = ranks(relevance, random).to(inputs.device)
    remove = pixel_remover(inputs, "road", pixel_scale=pixel_scale, black_level=black_level, random=random, noise=noise)
    scores = _scores(order, remove, target, activation, predict, removed_fractions, lerf_keeps)
    return dict(zip(NAMES, scores, strict=True))


def _scores(
    order: Tensor,
    remove: RemovePixels,
    target: int,
    activation: OutputActivation,
    predict: Predict,
    fractions: Sequence[float],
    lerf_keeps: bool,
) -> list[Score]:
    morf, lerf = both_orders(predict, remove, order, fractions, lerf_keeps=lerf_keeps)
    curves = []
    for evaluate_scores in (
        lambda scores: probability(scores, target, activation),
        lambda scores: (scores.argmax(1) == target).double().cpu(),
    ):
        morf_values, lerf_values = evaluate_scores(morf), evaluate_scores(lerf)
        curves += [morf_values, lerf_values, lerf_values - morf_values]
    return [Score(float(curve.mean()), curve) for curve in curves]


def both_orders(
    predict: Predict, remove: RemovePixels, order: Tensor, fractions: Sequence[float], *, lerf_keeps: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute class scores without the most relevant pixels (MoRF) and without the least relevant (LeRF).

    Args:
        predict: Computes class scores of modified inputs.
        remove: Removes pixels from the input.
        order: `(H, W)` the rank of each pixel, 0 for the most relevant.
        fractions: Fractions of the pixels that are removed.
        lerf_keeps: Whether in LeRF the fractions are those that are kept.

    Returns:
        The class scores `(n, k)` of MoRF and of LeRF, one row per fraction.
    """
    n_pixels = order.numel()
    morf_counts = [round(fraction * n_pixels) for fraction in fractions]
    lerf_counts = [n_pixels - count for count in morf_counts] if lerf_keeps else morf_counts
    counts = torch.tensor([*morf_counts, *lerf_counts], device=order.device)[:, None, None]
    # LeRF uses the reversed ranks: the least relevant pixels are removed first.
    rows = torch.stack([order, n_pixels - 1 - order])
    row_of_variant = torch.tensor([0] * len(morf_counts) + [1] * len(lerf_counts), device=order.device)
    scores = predict(lambda which: remove(rows[row_of_variant[which]] < counts[which]), len(counts))
    return scores[: len(morf_counts)], scores[len(morf_counts) :]


preset("road/default", road)
preset("road/rong", road, fractions=(0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9), lerf_keeps=True)
