"""Grad-CAM: each channel is weighted by the mean of its gradient."""

from __future__ import annotations

import torch

from camlucida.maps import grid_axes
from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(
    paper="Selvaraju et al., ICCV 2017, eq. 1-2: alpha_k = mean_ij g_ij^k; L = ReLU(sum_k alpha_k A^k)",
    relu=True,
)
def grad_cam(activations: Features, gradients: Features) -> Map:
    """Weight each channel by the mean gradient of the score: the default, for any network and layer.

    Called `GradCAM` in pytorch-grad-cam and `LayerGradCam` in Captum.

    activations  (b, c, h, w)  activations of the layer
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     signed; the paper shows its positive part
    """
    return torch.einsum("bc,bc...->b...", gradients.mean(grid_axes(gradients)), activations)
