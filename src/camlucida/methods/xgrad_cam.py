"""XGrad-CAM: gradients averaged with the activations as weights, so that the map sums to the score."""

from __future__ import annotations

from camlucida.maps import grid_axes
from camlucida.methods.registry import method
from camlucida.types import Features, Map

CANCELLATION_TOLERANCE = 1e-6
"""A channel whose sum is at most this fraction of its absolute sum counts as cancelled."""


@method(
    paper="Fu et al., BMVC 2020: w_k = sum_ij (A_ij / sum_ab A_ab) g_ij; L = ReLU(sum_k w_k A^k)",
    deviation="a channel whose activations cancel out (signed ones can) has weight 0, where the paper divides by ~0",
    relu=True,
)
def xgrad_cam(activations: Features, gradients: Features) -> Map:
    """Weight each channel by its activation-weighted mean gradient; sums to the score on ReLU networks.

    Called `XGradCAM` in pytorch-grad-cam.

    activations  (b, c, h, w)  activations of the layer
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     signed; the paper shows its positive part
    """
    positions = grid_axes(activations)
    total = activations.sum(positions, keepdim=True)
    cancels = total.abs() <= CANCELLATION_TOLERANCE * activations.abs().sum(positions, keepdim=True)
    fractions = activations / total.where(~cancels, 1)
    weights = (fractions * gradients).sum(positions, keepdim=True).where(~cancels, 0)
    return (weights * activations).sum(1)
