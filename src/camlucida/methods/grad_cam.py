"""Grad-CAM: a channel weighs as much as the score would rise, on average, if it grew."""

from __future__ import annotations

import torch

from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(
    paper="Selvaraju et al., ICCV 2017, eq. 1-2: alpha_k = mean_ij g_ij^k; L = ReLU(sum_k alpha_k A^k)",
    relu=True,
)
def grad_cam(activations: Features, gradients: Features) -> Map:
    """Each channel weighted by its mean gradient: works on any network and layer. The one to begin with.

    activations  (b, c, h, w)  what the layer gave out
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     signed; the paper shows the positive part
    """
    return torch.einsum("bc,bchw->bhw", gradients.mean((2, 3)), activations)
