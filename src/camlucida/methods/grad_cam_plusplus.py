"""Grad-CAM++: positive gradients only, weighted so that several instances of a class count alike."""

from __future__ import annotations

import torch

from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(
    paper="Chattopadhyay et al., WACV 2018, eq. 19 with Y = exp(S): alpha = g^2 / (2 g^2 + (sum_ab A_ab) g^3)",
    deviation="the factor exp(S), one positive constant an image, is left out: it overflows and scales only",
    relu=True,
)
def grad_cam_plusplus(activations: Features, gradients: Features) -> Map:
    """Like Grad-CAM with a weight for every place: finds several instances of the class, and more of each.

    alpha_ij = g_ij^2 / (2 g_ij^2 + (sum_ab A_ab) g_ij^3), and 0 where its denominator is 0;
    w_k = sum_ij alpha_ij ReLU(g_ij).

    activations  (b, c, h, w)  what the layer gave out
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     signed; the paper shows the positive part
    """
    # Divided by g^2, which underflows long before g does: alpha = 1 / (2 + (sum_ab A_ab) g).
    denominator = 2 + activations.sum((2, 3), keepdim=True) * gradients
    alpha = torch.where(denominator != 0, 1 / denominator.where(denominator != 0, 1), 0)
    weights = (alpha * gradients.relu()).sum((2, 3), keepdim=True)
    return (weights * activations).sum(1)
