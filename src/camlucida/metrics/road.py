"""ROAD: the class's rise and fall when pixels are made up from those around them, with no holes to read from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from camlucida.metrics.parts.ranking import ranks, is_nonzero
from camlucida.metrics.parts.removal import Predict, probability
from camlucida.metrics.parts.substrates import ROAD_NOISE, Without, checked_shares, without
from camlucida.metrics.registry import Score, MetricOutput, metric, preset

NAMES = ("road_morf", "road_lerf", "road_gap", "road_morf_accuracy", "road_lerf_accuracy", "road_gap_accuracy")


@metric(
    paper="Rong et al., ICML 2022, sec. 5 (noisy linear imputation, MoRF and LeRF)",
    deviation="so many pixels as the fraction says, never those above a percentile, which takes all of a map that is "
    "mostly 0; equal values by lot; the noise is the same for all fractions; correct means the explained class, which "
    "is the paper's with target='label'; in LeRF too a fraction is what is taken away, where the authors' code has "
    "what is left (preset road/rong has theirs)",
    gives={
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
    pixel: Tensor,
    black: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    fractions: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    noise: float = ROAD_NOISE,
    kept: bool = False,
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
    shares = checked_shares(fractions, "fractions")
    if not is_nonzero(relevance):
        return {name: Score(float("nan")) for name in NAMES}
    places = ranks(relevance, random).to(inputs.device)
    hidden = without(inputs, "road", pixel=pixel, black=black, random=random, noise=noise)
    return dict(zip(NAMES, _scores(places, hidden, target, predict, shares, kept), strict=True))


def _scores(
    places: Tensor, hidden: Without, target: int, predict: Predict, shares: Sequence[float], kept: bool
) -> list[Score]:
    morf, lerf = both_orders(predict, hidden, places, shares, kept=kept)
    curves = []
    for of in (lambda found: probability(found, target), lambda found: (found.argmax(1) == target).double().cpu()):
        most, least = of(morf), of(lerf)
        curves += [most, least, least - most]
    return [Score(float(curve.mean()), curve) for curve in curves]


def both_orders(
    predict: Predict, hidden: Without, places: Tensor, shares: Sequence[float], *, kept: bool = False
) -> tuple[Tensor, Tensor]:
    """Class scores (n, k) without the most relevant shares of the pixels, and without the least relevant."""
    pixels = places.numel()
    most = [round(share * pixels) for share in shares]
    least = [pixels - count for count in most] if kept else most
    counts = torch.tensor([*most, *least], device=places.device)[:, None, None]
    # Row after row from the end: those that are last are first to go.
    rows = torch.stack([places, pixels - 1 - places])
    order = torch.tensor([0] * len(most) + [1] * len(least), device=places.device)
    found = predict(lambda which: hidden(rows[order[which]] < counts[which]), len(counts))
    return found[: len(most)], found[len(most) :]


preset("road/default", road)
preset("road/rong", road, fractions=(0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9), kept=True)
