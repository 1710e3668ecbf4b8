"""Grad-CAM++: positive gradients, weighted so that several instances of a class contribute equally."""

from __future__ import annotations

import torch

from camlucida.maps import grid_axes
from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(
    paper="Chattopadhyay et al., WACV 2018, eq. 19 with Y = exp(S): alpha = g^2 / (2 g^2 + (sum_ab A_ab) g^3)",
    deviation="the factor exp(S), one positive constant per image, is omitted: it overflows and scales only",
    relu=True,
)
def grad_cam_plusplus(activations: Features, gradients: Features) -> Map:
    """Weight each channel by position-weighted positive gradients: covers several instances of a class.

    alpha_ij = g_ij^2 / (2 g_ij^2 + (sum_ab A_ab) g_ij^3), and 0 where its denominator is 0;
    w_k = sum_ij alpha_ij ReLU(g_ij). Called `GradCAMPlusPlus` in pytorch-grad-cam.

    activations  (b, c, h, w)  activations of the layer
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     signed; the paper shows its positive part
    """
    # Reduced by g^2, which underflows long before g does: alpha = 1 / (2 + (sum_ab A_ab) g).
    positions = grid_axes(activations)
    denominator = 2 + activations.sum(positions, keepdim=True) * gradients
    alpha = torch.where(denominator != 0, 1 / denominator.where(denominator != 0, 1), 0)
    weights = (alpha * gradients.relu()).sum(positions, keepdim=True)
    return (weights * activations).sum(1)
