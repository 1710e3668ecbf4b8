"""KPCA-CAM: Eigen-CAM with kernel principal component analysis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from camlucida.errors import MethodError
from camlucida.methods.registry import method
from camlucida.options import NotNegative, OneOf
from camlucida.types import Features, Map

MAX_POSITIONS = 4096
"""Positions of a 64 x 64 grid: its kernel matrix takes 134 MB, and its eigenvectors half a minute on a CPU."""
KERNELS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "sigmoid": lambda x, gamma: torch.tanh(gamma * x @ x.mT + 1),
    "rbf": lambda x, gamma: torch.exp(-gamma * _distances(x)),
    "linear": lambda x, gamma: x @ x.mT,
}


@method(
    paper="Karmani et al., 2024 (arXiv 2410.00267): L = sqrt(l_1) u_1, K_c u = l u, K_c the centred kernel",
    deviation="the sign, which is left open, is that of the activations' sum less its mean; channels are centred first"
    " and gamma is 1/c, as in the authors' code",
    relu=True,
)
def kpca_cam(
    activations: Features, *, kernel: Annotated[str, OneOf(KERNELS)] = "sigmoid", gamma: NotNegative = 0.0
) -> Map:
    """Project the activations on their first kernel principal component; uses neither class nor gradients.

    activations  (b, c, h, w)  activations of the layer
    kernel       "sigmoid": tanh(gamma x.y + 1), "rbf": exp(-gamma |x - y|^2), "linear": Eigen-CAM, centred
    gamma        parameter of the kernel; 0 stands for 1 / c
    returns      (b, h, w)     signed with mean 0; its positive part is displayed
    """
    c, grid = activations.shape[1], activations.shape[2:]
    if math.prod(grid) > MAX_POSITIONS:
        limit = f"kpca_cam supports layers of at most {MAX_POSITIONS} positions, not {' x '.join(map(str, grid))}."
        raise MethodError(f"{limit} Choose a later layer, or eigen_cam.")
    positions = activations.flatten(2).mT.double()  # (b, positions, c)
    positions = positions - positions.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(_center(KERNELS[kernel](positions, gamma or 1 / c)))
    maps = vectors[..., -1] * values[..., -1:].clamp_min(0).sqrt()
    oriented = torch.where((maps * positions.sum(2)).sum(1, keepdim=True) < 0, -maps, maps)
    return oriented.reshape(-1, *grid).to(activations.dtype)


def _distances(x: Tensor) -> Tensor:
    squares = x.square().sum(-1)  # differences would need an array of (positions, positions, c)
    return (squares[..., None] + squares[..., None, :] - 2 * x @ x.mT).clamp_min(0)


def _center(kernel: Tensor) -> Tensor:
    return kernel - kernel.mean(1, keepdim=True) - kernel.mean(2, keepdim=True) + kernel.mean((1, 2), keepdim=True)
