"""Grad-CAM, element by element: loops, and what it is next to HiResCAM."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.methods.grad_cam_elementwise import grad_cam_elementwise
from camlucida.methods.hires_cam import hires_cam


def test_reference(case: tuple[Tensor, Tensor]) -> None:
    activations, gradients = case
    expected = torch.zeros(2, 3, 4, dtype=torch.float64)
    for b, k, i, j in itertools.product(range(2), range(5), range(3), range(4)):
        expected[b, i, j] += max(0.0, float(activations[b, k, i, j] * gradients[b, k, i, j]))
    assert_close(grad_cam_elementwise(activations, gradients), expected)


def test_for_less_against_is_hires_cam(case: tuple[Tensor, Tensor]) -> None:
    activations, gradients = case
    difference = grad_cam_elementwise(activations, gradients) - grad_cam_elementwise(activations, -gradients)
    assert_close(difference, hires_cam(activations, gradients))
