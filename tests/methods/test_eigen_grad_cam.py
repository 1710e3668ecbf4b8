"""Eigen-Grad-CAM: the full SVD, and the sign."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.methods.eigen_grad_cam import eigen_grad_cam


def test_equals_the_full_svd(case: tuple[Tensor, Tensor]) -> None:
    activations, gradients = case
    result = eigen_grad_cam(activations, gradients)
    for a, g, map_ in zip(activations, gradients, result, strict=True):
        matrix = (a * g).flatten(1).T.numpy()
        vector = np.linalg.svd(matrix)[2][0]
        expected = torch.tensor(matrix @ vector).view(3, 4)
        total = (a * g).sum(0)
        assert_close(map_, -expected if (expected * total).sum() < 0 else expected)


def test_the_negated_class_has_the_negated_map(case: tuple[Tensor, Tensor]) -> None:
    activations, gradients = case
    assert_close(eigen_grad_cam(activations, -gradients), -eigen_grad_cam(activations, gradients))


def test_of_rank_one_it_is_the_sum_up_to_scale() -> None:
    shape = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    activations = shape * torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)[:, None, None]
    result = eigen_grad_cam(activations[None], torch.ones(1, 3, 2, 2).double())
    assert_close(result[0], 3 * shape)  # the norm of (1, 2, 2)
    assert_close(eigen_grad_cam(activations[None], torch.zeros(1, 3, 2, 2).double()), torch.zeros(1, 2, 2).double())
