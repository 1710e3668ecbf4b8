"""SmoothGrad: the mean gradient over noisy copies of the input."""

from __future__ import annotations

import torch

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import noisy
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.options import Count, NotNegative, Seed
from camlucida.types import Gradients, Images, Map


@method(
    paper="Smilkov et al., 2017, sec. 3: M = 1/n sum_i dS/dx (x + N(0, sigma^2)); squared: Hooker et al., 2019",
    deviation="the paper does not say how channels are reduced: here by a sum after the mean, which keeps the sign",
    relu=False,
    display=PIXEL_DISPLAY,
)
def smooth_grad(
    inputs: Images,
    input_gradients: Gradients,
    *,
    n: Count = 25,
    noise: NotNegative = 0.15,
    squared: bool = False,
    reduce: Join = "sum",
    seed: Seed = 0,
) -> Map:
    """Average the gradient over noisy copies of the input, which reduces its noise.

    Called `NoiseTunnel` over `Saliency` in Captum, where n is `nt_samples` and noise `stdevs`.

    inputs           (b, c, H, W)        network inputs
    input_gradients  variants -> chunks  gradients of the score at other network inputs
    n                number of copies
    noise            standard deviation, as a fraction of each input's range (the paper: 0.1 to 0.2)
    squared          whether the mean is of the squared gradients (SmoothGrad-Squared): non-negative
    reduce           reduction over the colour channels: sum (signed), max, norm or sum_abs (non-negative)
    seed             seed of the noise, which is the same for every image of a batch
    returns          (b, H, W)           signed if `reduce` is sum and `squared` is False, else non-negative
    """
    total = torch.zeros_like(inputs, dtype=torch.float64)
    for _, _, gradients in input_gradients(noisy(inputs, n, noise, seed), n):
        total += (gradients.double().square() if squared else gradients.double()).sum(0)
    return reduce_channels((total / n).to(gradients.dtype), reduce)
