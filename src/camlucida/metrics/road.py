"""ROAD: the class's rise and fall when pixels are made up from those around them, with no holes to read from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from camlucida.metrics.common.infill import ROAD_NOISE, RemovePixels, check_fractions, pixel_remover
from camlucida.metrics.common.perturbation import Predict, probability
from camlucida.metrics.common.ranking import is_nonzero, ranks
from camlucida.metrics.registry import MetricOutput, Score, metric, preset

NAMES = ("road_morf", "road_lerf", "road_gap", "road_morf_accuracy", "road_lerf_accuracy", "road_gap_accuracy")


@metric(
    paper="Rong et al., ICML 2022, sec. 5 (noisy linear imputation, MoRF and LeRF)",
    deviation="so many pixels as the fraction says, never those above a percentile, which takes all of a map that is "
    "mostly 0; equal values by lot; the noise is the same for all fractions; correct means the explained class, which "
    "is the paper's with target='label'; in LeRF too a fraction is what is taken away, where the authors' code has "
    "what is left (preset road/rong has theirs)",
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
    *,
    fractions: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    noise: float = ROAD_NOISE,
    lerf_keeps: bool = False,
) -> dict[str, Score]:
    """How much more of the class is left without the least relevant pixels than without the most relevant ones.

    relevance  (H, W)     the map on the network's input
    inputs     (c, H, W)  the picture
    fractions  shares of the pixels that are taken away, between 0 and 1
    noise      sigma of what is added to imputed pixels, as a share of the range from black to white
    kept       in LeRF, fractions are the shares that are left, as in the authors' code
    returns    means over the fractions, and curves: road_morf, the probability without the most relevant, 0 to 1;
               road_lerf, without the least relevant; road_gap, LeRF less MoRF, -1 to 1, chance level 0; the same for
               how often the class stays the first
    forwards   two a fraction: 18, and exact solutions worth about 11
    """
    removed_fractions = check_fractions(fractions, "fractions")
    if not is_nonzero(relevance):
        return {name: Score(float("nan")) for name in NAMES}
    order = ranks(relevance, random).to(inputs.device)
    remove = pixel_remover(inputs, "road", pixel_scale=pixel_scale, black_level=black_level, random=random, noise=noise)
    return dict(zip(NAMES, _scores(order, remove, target, predict, removed_fractions, lerf_keeps), strict=True))


def _scores(
    order: Tensor, remove: RemovePixels, target: int, predict: Predict, fractions: Sequence[float], lerf_keeps: bool
) -> list[Score]:
    morf, lerf = both_orders(predict, remove, order, fractions, lerf_keeps=lerf_keeps)
    curves = []
    for evaluate_scores in (
        lambda found: probability(found, target),
        lambda found: (found.argmax(1) == target).double().cpu(),
    ):
        morf_values, lerf_values = evaluate_scores(morf), evaluate_scores(lerf)
        curves += [morf_values, lerf_values, lerf_values - morf_values]
    return [Score(float(curve.mean()), curve) for curve in curves]


def both_orders(
    predict: Predict, remove: RemovePixels, order: Tensor, fractions: Sequence[float], *, lerf_keeps: bool = False
) -> tuple[Tensor, Tensor]:
    """Class scores (n, k) without the most relevant shares of the pixels, and without the least relevant."""
    n_pixels = order.numel()
    morf_counts = [round(fraction * n_pixels) for fraction in fractions]
    lerf_counts = [n_pixels - count for count in morf_counts] if lerf_keeps else morf_counts
    counts = torch.tensor([*morf_counts, *lerf_counts], device=order.device)[:, None, None]
    # Row after row from the end: those that are last are first to go.
    rows = torch.stack([order, n_pixels - 1 - order])
    row_of_variant = torch.tensor([0] * len(morf_counts) + [1] * len(lerf_counts), device=order.device)
    scores = predict(lambda which: remove(rows[row_of_variant[which]] < counts[which]), len(counts))
    return scores[: len(morf_counts)], scores[len(morf_counts) :]


preset("road/default", road)
preset("road/rong", road, fractions=(0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9), lerf_keeps=True)
