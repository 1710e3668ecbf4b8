"""FullGrad: input gradients and bias gradients of all layers in one map."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from camlucida.maps import upsample
from camlucida.methods.registry import method
from camlucida.options import OneOf
from camlucida.types import BiasGradients, Images, Map, Report, Scores

SCALES = {"layer": 1, "channel": 2}
"""The first of the axes over which a contribution `(b, c, *grid)` is scaled: each layer, or each channel."""


@method(
    paper="Srinivas & Fleuret, NeurIPS 2019, sec. 4: S = psi(x * dS/dx) + sum_l sum_c psi(f^b_lc), psi = up(s(|.|))",
    deviation="s scales the channels of a layer together, as the authors' code does, or each by itself, as the sum may"
    ' be read (scale="channel"); the authors count convolutions and batch norms, this every bias and activation on a'
    " grid; their code adds 1e-6 to s's divisor (small bias gradients' maps change) and upsamples with aligned corners",
    relu=False,
)
def full_grad(
    inputs: Images,
    score: Scores,
    bias_gradients: BiasGradients,
    report: Report,
    *,
    scale: Annotated[str, OneOf(SCALES)] = "layer",
) -> Map:
    """Sum the input-gradient and the bias-gradient maps of all layers, which together make up the score.

    Biases without a spatial position (head, windowed tokens, operations of attention) enter the completeness gap only.

    inputs          (b, c, H, W)     network inputs
    score           (b,)             score of the target on them
    bias_gradients  () -> (b, c, H, W), [(b, c, h, w) or (b,)]  input gradient; contribution of each bias
    report          name, (b,) -> None  reports "completeness_gap": the sum of all contributions minus the score
    scale           what is min-max scaled to [0, 1] before the sum: each "layer" or each "channel"
    returns         (b, H, W)        non-negative
    """
    gradient, biases = bias_gradients()
    parts = [inputs.to(gradient.dtype) * gradient, *biases]
    sums = [part.double() if part.ndim == 1 else part.flatten(1).double().sum(1) for part in parts]
    report("completeness_gap", sum(sums, -score.double()))
    map_ = torch.zeros_like(gradient[:, 0])
    for part in parts:
        if part.ndim > 1:
            map_ += upsample(_minmax_scale(part.abs(), SCALES[scale]).sum(1), inputs.shape[2:])
    return map_


def _minmax_scale(magnitudes: Tensor, first: int) -> Tensor:
    axes = tuple(range(first, magnitudes.ndim))
    low, high = magnitudes.amin(axes, keepdim=True), magnitudes.amax(axes, keepdim=True)
    return (magnitudes - low) / (high - low).where(high > low, 1)
