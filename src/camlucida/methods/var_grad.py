"""VarGrad: the variance of the gradient over noisy copies of the input."""

from __future__ import annotations

from typing import Annotated

import torch

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import noisy
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.options import MAX_COUNT, Between, NotNegative, Seed
from camlucida.types import Gradients, Images, Map


@method(
    paper="Adebayo et al., ICLR workshop 2018, sec. 2: V = Var_i dS/dx (x + N(0, sigma^2)); Hooker et al., 2019",
    deviation="the variance of the n copies themselves, divided by n and not n - 1",
    relu=False,
    display=PIXEL_DISPLAY,
)
def var_grad(
    inputs: Images,
    input_gradients: Gradients,
    *,
    n: Annotated[int, Between(2, MAX_COUNT)] = 25,
    noise: NotNegative = 0.15,
    reduce: Join = "max",
    seed: Seed = 0,
) -> Map:
    """Compute the variance of the gradient over noisy copies of the input.

    inputs           (b, c, H, W)        network inputs
    input_gradients  variants -> chunks  gradients of the score at other network inputs
    n                number of copies, at least 2
    noise            standard deviation, as a fraction of each input's range
    reduce           reduction over the colour channels: max, norm, sum or sum_abs
    seed             seed of the noise, which is the same for every image of a batch
    returns          (b, H, W)           non-negative
    """
    mean, squared_deviations = (torch.zeros_like(inputs, dtype=torch.float64) for _ in range(2))
    for indices, _, gradients in input_gradients(noisy(inputs, n, noise, seed), n):
        # Welford's update: the mean square minus the squared mean would lose all digits of a small variance.
        for i, gradient in zip(indices.tolist(), gradients.double(), strict=True):
            step = gradient - mean
            mean += step / (i + 1)
            squared_deviations += step * (gradient - mean)
    return reduce_channels((squared_deviations / n).to(gradients.dtype), reduce)
