"""Gradient ascent on the parameters of a mask, given the gradient of the score at the masked input."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.types import Gradients


class MaskOptimizer:
    """Adam, maximising, on the parameters `(b, ...)` of one mask per image; images are independent.

    Attributes:
        at: The parameters; compute the mask from them with grad mode enabled.
    """

    def __init__(self, start: Tensor, rate: float) -> None:
        self.at = start.clone().requires_grad_()
        self._adam = torch.optim.Adam([self.at], lr=rate, maximize=True)

    def step(self, mask: Tensor, gradient: Tensor) -> None:
        """Take one step of Adam.

        Args:
            mask: The mask, computed from `at` with grad mode enabled.
            gradient: Gradient of the objective at `mask`, same shape.
        """
        (self.at.grad,) = torch.autograd.grad(mask, self.at, gradient.to(mask))
        self._adam.step()


def score_and_gradient(input_gradients: Gradients, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores `(b,)` of network inputs `(b, c, H, W)`, and their gradients `(b, c, H, W)`."""
    ((_, (score,), (gradient,)),) = input_gradients(lambda which: images.expand(len(which), *images.shape), 1)
    return score, gradient
