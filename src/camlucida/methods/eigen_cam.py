"""Eigen-CAM: the first principal component of the activations, independent of the class."""

from __future__ import annotations

import math

import torch

from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(
    paper="Muhammad & Yeasin, IJCNN 2020: L = A v_1, with A = U S V^T over positions x channels, not centred",
    deviation="the sign, which an SVD leaves open, is chosen so that the map's sum is positive",
    relu=True,
)
def eigen_cam(activations: Features) -> Map:
    """Project the activations on their first principal component; uses neither class nor gradients.

    Called `EigenCAM` in pytorch-grad-cam.

    activations  (b, c, h, w)  activations of the layer
    returns      (b, h, w)     signed; its positive part is displayed
    """
    c, grid = activations.shape[1], activations.shape[2:]
    positions = activations.flatten(2).mT.double()  # (b, positions, c)
    # Use the smaller of the two Gram matrices: a full SVD of 2048 channels takes seconds.
    if c <= math.prod(grid):
        component = torch.linalg.eigh(positions.mT @ positions).eigenvectors[..., -1]
        maps = (positions @ component[..., None])[..., 0]
    else:
        values, vectors = torch.linalg.eigh(positions @ positions.mT)
        maps = vectors[..., -1] * values[..., -1:].clamp_min(0).sqrt()
    oriented = torch.where(maps.sum(-1, keepdim=True) < 0, -maps, maps)
    return oriented.reshape(-1, *grid).to(activations.dtype)
