"""AOPC: mean drop of the target's probability while square regions are replaced by noise."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.perturbation import Predict, cell_sums, number_cells, probability
from camlucida.metrics.common.ranking import is_nonzero, ranks
from camlucida.metrics.registry import MetricOutput, Score, metric, preset
from camlucida.tasks import MULTICLASS, OutputActivation

REGION_SIDE_FRACTION = 9 / 224
"""Side of a region as a fraction of the shorter image side: the paper's 9 pixels of 224."""


@metric(
    paper="Samek et al., TNNLS 2017, eq. 12 (AOPC, MoRF)",
    deviation="four regions are replaced per step, and the noise is sampled once instead of ten times (preset "
    "aopc/samek: as in the paper); f is the probability of the explained class; regions of equal relevance are in "
    "random order",
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
    activation: OutputActivation = MULTICLASS,
    *,
    regions: int = 100,
    at_once: int = 4,
    draws: int = 1,
) -> Score:
    """Compute the mean probability drop while regions are replaced by noise, most relevant first.

    Area over the perturbation curve (Samek et al., 2017, eq. 12, MoRF): `1 / (L + 1) sum_k (f(x_0) - f(x_k))`, where
    x_k is the input without its k most relevant regions.

    Args:
        relevance: `(H, W)` the map at input resolution.
        inputs: `(c, H, W)` the network input.
        target: The explained class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        predict: Computes class scores of modified inputs.
        random: Generator for the noise and for the order of equal values.
        activation: How class scores become probabilities.
        regions: Number of regions that are removed; a region has 9 x 9 pixels on an input of 224, and a side in
            proportion on other inputs.
        at_once: Number of regions that are removed between two evaluations.
        draws: Number of noise samples.

    Returns:
        The mean drop, -1 to 1; higher is better. The curve is the drop after each step. The chance level is the value
        of a random order.

    Raises:
        MetricError: If `regions`, `at_once` or `draws` is less than 1.

    forwards per map: one per step and noise sample, 26
    """
    if regions < 1 or at_once < 1 or draws < 1:
        raise MetricError(f"AOPC needs regions, at_once and draws of at least 1, not {regions}, {at_once}, {draws}.")
    if not is_nonzero(relevance):
        return Score(float("nan"))
    side = max(1, round(REGION_SIDE_FRACTION * min(relevance.shape)))
    cells = number_cells([torch.arange(n) // side for n in relevance.shape])
    order = ranks(cell_sums(relevance, cells), random)[cells].to(inputs.device)
    n_removed = min(regions, int(cells.max()) + 1)
    counts = torch.tensor([*range(0, n_removed, at_once), n_removed], device=inputs.device)
    uniform = torch.rand((draws, *inputs.shape), generator=random, dtype=torch.float64)
    noise = black_level + pixel_scale * uniform.to(inputs)

    def variants(indices: Tensor) -> Tensor:
        removed = order < counts[indices % len(counts)].view(-1, *[1] * order.ndim)
        return torch.where(removed[:, None], noise[indices // len(counts)], inputs)

    probabilities = (
        probability(predict(variants, len(counts) * draws), target, activation).reshape(draws, len(counts)).mean(0)
    )
    curve = probabilities[0] - probabilities
    return Score(float(curve.mean()), curve)


preset("aopc/samek", aopc, at_once=1, draws=10)
