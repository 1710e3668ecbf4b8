"""Competing classes: the other classes with which a target is compared."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from camlucida.errors import MethodError
from camlucida.targets import ClassScore, Logit, Target

Order: TypeAlias = Literal["best", "nearest"]

TIE_TOLERANCE = 1e-5
"""Relative tolerance of gradients: of equally strong classes ("A rather than B"), the positive one is chosen."""


def own_class(target: Target, output: Tensor) -> Tensor:
    """Return the class `(b,)` on whose output the target depends most.

    Args:
        target: The target.
        output: Class scores of the network `(b, k)`.
    """
    with torch.inference_mode(False), torch.enable_grad():
        scores = output.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(target(scores).sum(), scores)
    return torch.where(gradient > 0, gradient * (1 + TIE_TOLERANCE), -gradient).argmax(1)


def competing_classes(target: Target, output: Tensor, n: int, order: Order) -> list[Target]:
    """Return targets for other classes than the target's own, with one class per image each.

    They are scored as the target is if it is a class score, else by their logits.

    Args:
        target: The target.
        output: Class scores of the network `(b, k)`.
        n: Number of classes, at least 1; reduced to the number of other classes.
        order: "best" for the highest scores first, "nearest" for the scores closest to that of the target's class
            first.

    Raises:
        MethodError: `n` is not a positive integer, or the network has a single output.
    """
    if n != int(n) or n < 1:
        raise MethodError(f"n is how many other classes to compare with, an integer of at least 1, not {n!r}.")
    n_others = output.shape[1] - 1
    if n_others < 1:
        raise MethodError("competing classes require several classes, and this network has a single output.")
    own_index = own_class(target, output)[:, None]
    rank = output.double() if order == "best" else -(output.double() - output.double().gather(1, own_index)).abs()
    rank = rank.scatter(1, own_index, -torch.inf)
    target_type = type(target) if isinstance(target, ClassScore) else Logit
    return [target_type(index) for index in rank.topk(min(int(n), n_others), dim=1).indices.unbind(1)]
