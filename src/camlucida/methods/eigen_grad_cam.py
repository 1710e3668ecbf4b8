"""Eigen-Grad-CAM: what the channels' contributions to the class have in common."""

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
    """The first principal component of activation times gradient: Eigen-CAM for one class, and smoother than its sum.

    activations  (b, c, h, w)  what the layer gave out
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     signed; positive where the contributions to the class mostly are
    """
    contributions = activations * gradients
    component = eigen_cam(contributions)
    alignment = (component * contributions.sum(1)).sum((1, 2), keepdim=True)
    return torch.where(alignment < 0, -component, component)
