"""AOPC: how far the class falls while square regions are replaced by noise, the most relevant first."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.perturbation import Predict, cell_sums, probability
from camlucida.metrics.common.ranking import is_nonzero, ranks
from camlucida.metrics.registry import MetricOutput, Score, metric, preset

REGION_SIDE_FRACTION = 9 / 224
"""Of the shorter side: the paper's regions of 9 pixels of 224."""


@metric(
    paper="Samek et al., TNNLS 2017, eq. 12 (AOPC, MoRF)",
    deviation="four regions go at once and the noise is drawn once, not ten times (preset aopc/samek has the paper's); "
    "f is the probability of the explained class; regions of equal relevance by lot",
    outputs=MetricOutput("high", worst=-1.0),
)
def aopc(
    relevance: Tensor,
    inputs: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    regions: int = 100,
    at_once: int = 4,
    draws: int = 1,
) -> Score:
    """The mean fall of the probability while the most relevant regions are replaced by uniform noise, one by one.

    relevance  (H, W)     the map on the network's input
    inputs     (c, H, W)  the picture
    regions    how many go in all, of 9 x 9 pixels of 224, or as much of another size
    at_once    how many go between two looks
    draws      how often the noise is drawn anew
    returns    -1 to 1, high is good; the curve is the fall after each look. Chance level: that of a random order
    forwards   one a look and draw: 26
    """
    if regions < 1 or at_once < 1 or draws < 1:
        raise MetricError(f"regions, at_once and draws are at least 1, not {regions}, {at_once}, {draws}.")
    if not is_nonzero(relevance):
        return Score(float("nan"))
    side = max(1, round(REGION_SIDE_FRACTION * min(relevance.shape)))
    y, x = (torch.arange(n) // side for n in relevance.shape)
    cells = y[:, None] * (int(x.max()) + 1) + x
    order = ranks(cell_sums(relevance, cells), random)[cells].to(inputs.device)
    n_removed = min(regions, int(cells.max()) + 1)
    counts = torch.tensor([*range(0, n_removed, at_once), n_removed], device=inputs.device)
    uniform = torch.rand((draws, *inputs.shape), generator=random, dtype=torch.float64)
    noise = black_level + pixel_scale * uniform.to(inputs)

    def variants(indices: Tensor) -> Tensor:
        removed = order < counts[indices % len(counts)][:, None, None]
        return torch.where(removed[:, None], noise[indices // len(counts)], inputs)

    probabilities = probability(predict(variants, len(counts) * draws), target).reshape(draws, len(counts)).mean(0)
    curve = probabilities[0] - probabilities
    return Score(float(curve.mean()), curve)


preset("aopc/samek", aopc, at_once=1, draws=10)
