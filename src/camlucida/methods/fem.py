"""FEM (feature-based explanation method): channels thresholded at their mean plus k standard deviations."""

from __future__ import annotations

from camlucida.maps import grid_axes
from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(
    paper="Fuad et al., IPTA 2020: L = sum_k m_k [A^k >= m_k + K s_k], m_k and s_k the mean and deviation of A^k",
    deviation="a constant channel (s = 0) counts at no position, not at all positions",
    relu=False,
)
def fem(activations: Features, *, k: float = 2.0) -> Map:
    """Sum the channels that lie k standard deviations above their mean; uses neither class nor gradients.

    Called `FEM` in pytorch-grad-cam.

    activations  (b, c, h, w)  activations of the layer
    k            threshold of a channel, in standard deviations above its mean (the paper: 2)
    returns      (b, h, w)     non-negative after a ReLU; else negative where channels with a negative mean are strong
    """
    exact = activations.double()
    positions = grid_axes(exact)
    mean, deviation = exact.mean(positions, keepdim=True), exact.std(positions, correction=0, keepdim=True)
    varies = exact.amax(positions, keepdim=True) > exact.amin(positions, keepdim=True)
    is_strong = (exact >= mean + k * deviation) & varies
    return (mean * is_strong).sum(1).to(activations.dtype)
