"""Element-wise Grad-CAM: the positive part of activation times gradient, summed over the channels."""

from __future__ import annotations

from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(paper="Pillai & Pirsiavash, AAAI 2021: L = sum_k ReLU(g^k * A^k)", relu=False)
def grad_cam_elementwise(activations: Features, gradients: Features) -> Map:
    """Sum the positive part of activation times gradient over the channels, so that nothing cancels.

    Called `GradCAMElementWise` in pytorch-grad-cam.

    activations  (b, c, h, w)  activations of the layer
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     non-negative
    """
    return (activations * gradients).relu().sum(1)
