"""Gradient ascent on what makes a mask, with the gradient of the score at the masked picture given from outside."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.types import Gradients


class MaskOptimizer:
    """Adam, upwards, on the parameters (b, ...) of one mask an image; images do not touch each other.

    at   the parameters: compute the mask from them with grad mode on
    """

    def __init__(self, start: Tensor, rate: float) -> None:
        self.at = start.clone().requires_grad_()
        self._adam = torch.optim.Adam([self.at], lr=rate, maximize=True)

    def step(self, mask: Tensor, gradient: Tensor) -> None:
        """One step: `slope` is the gradient of what shall rise at `mask`, same shape, made from `at`."""
        (self.at.grad,) = torch.autograd.grad(mask, self.at, gradient.to(mask))
        self._adam.step()


def score_and_gradient(input_gradients: Gradients, images: Tensor) -> tuple[Tensor, Tensor]:
    """The scores (b,) of pictures (b, c, H, W), and their gradients (b, c, H, W)."""
    ((_, (score,), (gradient,)),) = input_gradients(lambda which: images.expand(len(which), *images.shape), 1)
    return score, gradient
