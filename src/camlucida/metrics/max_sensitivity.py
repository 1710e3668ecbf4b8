"""How far a map can be moved by noise that nobody sees."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camlucida.metrics.common.perturbed_inputs import explain_batches, noisy_copies
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Yeh et al., NeurIPS 2019, def. 2: SENS_MAX = max_(|d|_inf <= r) |Phi(x + d) - Phi(x)| / |Phi(x)|",
    deviation="the largest of n draws, as in the authors' code; r in steps from black to white, not in units of the"
    " normalised input",
    outputs=MetricOutput("low", worst=2.0),
)
def max_sensitivity(
    relevance: Tensor,
    inputs: Tensor,
    explain: Callable[[Tensor], Tensor],
    pixel_scale: Tensor,
    random: torch.Generator,
    *,
    r: float = 0.02,
    n: int = 10,
) -> float:
    """How far the map moves, at most, under noise that hardly anybody sees; the class stays the same.

    A map that is the same for every picture scores best: this says nothing about whether it is right.

    relevance  (H, W)      the map
    inputs     (c, H, W)   the picture
    explain    pictures -> maps of other pictures
    pixel      (c, 1, 1)   one step from black to white
    random     the noise's
    r          the largest change of a pixel, as a share of the way from black to white
    n          how many noisy copies
    returns    from 0, where nothing moves; in units of the map's own length. NaN for a map of length 0
    """
    norm = relevance.double().norm()
    if not norm > 0:
        return float("nan")
    copies = noisy_copies(
        inputs, pixel_scale, random, n, lambda draw, shape: (2 * torch.rand(shape, generator=draw) - 1) * r
    )
    distances = (explain_batches(explain, copies).double() - relevance.double()).flatten(1).norm(dim=1)
    return float(distances.max() / norm)
