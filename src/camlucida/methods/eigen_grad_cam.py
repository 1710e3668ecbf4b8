"""Eigen-Grad-CAM: the first principal component of activation times gradient."""

from __future__ import annotations

import torch

from camlucida.methods.eigen_cam import eigen_cam
from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(
    paper="Gildenblat, pytorch-grad-cam, 2021, after Muhammad & Yeasin, IJCNN 2020: L = B v_1, B = g * A as U S V^T",
    deviation="not centred, as in the paper on Eigen-CAM; the sign, which an SVD leaves open, is that of sum_k g^k A^k",
    relu=True,
)
def eigen_grad_cam(activations: Features, gradients: Features) -> Map:
    """Project activation times gradient on its first principal component: a class-specific Eigen-CAM.

    Smoother than the sum of activation times gradient over the channels (`hires_cam`).
    Called `EigenGradCAM` in pytorch-grad-cam.

    activations  (b, c, h, w)  activations of the layer
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     signed; positive where most contributions to the score are
    """
    contributions = activations * gradients
    component = eigen_cam(contributions)
    alignment = (component * contributions.sum(1)).sum(tuple(range(1, component.ndim)), keepdim=True)
    return torch.where(alignment < 0, -component, component)
