"""Max-sensitivity: largest change of a map under small input noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camlucida.metrics.common.perturbed_inputs import explain_batches, noisy_copies
from camlucida.metrics.registry import MetricOutput, metric


@metric(
    paper="Yeh et al., NeurIPS 2019, def. 2: SENS_MAX = max_(|d|_inf <= r) |Phi(x + d) - Phi(x)| / |Phi(x)|",
    deviation="the maximum over n samples, as in the authors' code; r as a fraction of the range from black to white, "
    "not in units of the normalised input",
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
    """Compute the largest relative change of the map under small uniform noise, for a fixed class.

    `SENS_MAX = max_(|d|_inf <= r) |Phi(x + d) - Phi(x)| / |Phi(x)|` (Yeh et al., 2019), estimated from n samples. A map
    that does not depend on the input scores best, so this metric says nothing about correctness.

    Args:
        relevance: `(H, W)` the map at input resolution.
        inputs: `(c, H, W)` the network input.
        explain: Computes maps of other inputs for the same class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        random: Generator for the noise.
        r: Largest change of a pixel, as a fraction of the range from black to white.
        n: Number of noisy copies.

    Returns:
        At least 0, relative to the norm of the map; lower is better. NaN for a map that is zero everywhere.
    """
    norm = relevance.double().norm()
    if not norm > 0:
        return float("nan")
    copies = noisy_copies(
        inputs,
        pixel_scale,
        random,
        n,
        lambda draw, shape: (2 * torch.rand(shape, generator=draw, dtype=torch.float32) - 1) * r,
    )
    distances = (explain_batches(explain, copies).double() - relevance.double()).flatten(1).norm(dim=1)
    return float(distances.max() / norm)
