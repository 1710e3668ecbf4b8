"""Shift stability: equivariance of a map to shifts of the input."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.maps import spearman
from camlucida.metrics.common.perturbed_inputs import explain_batches
from camlucida.metrics.common.ranking import require_image
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="equivariance of explanations, Crabbé & van der Schaar, NeurIPS 2023: mean_s r(s Phi(x), Phi(s x))",
    deviation="shifts only, with Spearman's r instead of the cosine; edges are mirrored and not compared",
    outputs=MetricOutput("high", worst=-1.0),
)
def shift_stability(
    relevance: Tensor, inputs: Tensor, explain: Callable[[Tensor], Tensor], *, fraction: float = 1 / 32
) -> float:
    """Compute the rank correlation of the shifted map with the map of the shifted input.

    `mean_s r(s Phi(x), Phi(s x))` over shifts s up, down, left and right, with Spearman's r.

    Args:
        relevance: `(H, W)` the map at input resolution.
        inputs: `(c, H, W)` the network input.
        explain: Computes maps of other inputs for the same class.
        fraction: Size of the shift as a fraction of the shorter side; at least one pixel.

    Returns:
        The mean correlation, -1 to 1, over the positions that both maps cover. NaN if one of the maps is constant.
    """
    require_image(inputs[0], "shift_stability")
    step = max(1, round(fraction * min(inputs.shape[1:])))
    shifts = [(0, step), (0, -step), (step, 0), (-step, 0)]
    padded = F.pad(inputs[None], (step,) * 4, mode="reflect")[0]
    height, width = inputs.shape[1:]
    shifted = [padded[:, step - y : step - y + height, step - x : step - x + width] for y, x in shifts]
    maps = explain_batches(explain, torch.stack(shifted))
    inner = (slice(step, height - step), slice(step, width - step))
    expected = torch.stack([relevance.roll((y, x), (0, 1))[inner] for y, x in shifts])
    cropped = torch.stack([map_[inner] for map_ in maps])
    return float(spearman(expected, cropped).mean())
