"""SmoothGrad: the mean gradient over noisy copies of the picture."""

from __future__ import annotations

import torch

from camlucida.methods.parts.colours import Join, joined
from camlucida.methods.parts.variants import noisy
from camlucida.methods.registry import FINE, method
from camlucida.options import Count, NotNegative, Seed
from camlucida.types import Map, Pictures, Slopes


@method(
    paper="Smilkov et al., 2017, sec. 3: M = 1/n sum_i dS/dx (x + N(0, sigma^2)); squared: Hooker et al., 2019",
    deviation="the paper leaves open how colours are joined: here their sum, which keeps the sign, after the mean",
    relu=False,
    display=FINE,
)
def smooth_grad(
    inputs: Pictures,
    slopes: Slopes,
    *,
    n: Count = 25,
    noise: NotNegative = 0.15,
    squared: bool = False,
    join: Join = "sum",
    seed: Seed = 0,
) -> Map:
    """The gradient with its noise averaged out: the mean over noisy copies of the picture.

    inputs   (b, c, H, W)        the pictures
    slopes   variants -> chunks  gradients of the score at other pictures
    n        how many copies
    noise    sigma, as a share of each picture's range (the paper: 0.1 to 0.2)
    squared  the mean of the squared gradients instead (SmoothGrad-Squared): never below 0
    join     how colours become one number: sum (signed), max, norm, sum_abs (none below 0)
    seed     of the noise, which is the same for every picture of a batch
    returns  (b, H, W)           signed if `join` is sum and `squared` is not set, else at least 0
    """
    total = torch.zeros_like(inputs, dtype=torch.float64)
    for _, _, found in slopes(noisy(inputs, n, noise, seed), n):
        total += (found.double().square() if squared else found.double()).sum(0)
    return joined(total / n, join).to(found.dtype)
