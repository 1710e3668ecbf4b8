"""SmoothGrad: the mean gradient over noisy copies of the picture."""

from __future__ import annotations

import torch

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import noisy
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.options import Count, NotNegative, Seed
from camlucida.types import Gradients, Images, Map


@method(
    paper="Smilkov et al., 2017, sec. 3: M = 1/n sum_i dS/dx (x + N(0, sigma^2)); squared: Hooker et al., 2019",
    deviation="the paper leaves open how colours are joined: here their sum, which keeps the sign, after the mean",
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
    """The gradient with its noise averaged out: the mean over noisy copies of the picture.

    inputs   (b, c, H, W)        the pictures
    input_gradients   variants -> chunks  gradients of the score at other pictures
    n        how many copies
    noise    sigma, as a share of each picture's range (the paper: 0.1 to 0.2)
    squared  the mean of the squared gradients instead (SmoothGrad-Squared): never below 0
    reduce     how colours become one number: sum (signed), max, norm, sum_abs (none below 0)
    seed     of the noise, which is the same for every picture of a batch
    returns  (b, H, W)           signed if `reduce` is sum and `squared` is not set, else at least 0
    """
    total = torch.zeros_like(inputs, dtype=torch.float64)
    for _, _, gradients in input_gradients(noisy(inputs, n, noise, seed), n):
        total += (gradients.double().square() if squared else gradients.double()).sum(0)
    return reduce_channels(total / n, reduce).to(gradients.dtype)
