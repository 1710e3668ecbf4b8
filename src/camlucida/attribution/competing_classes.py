"""The rivals of a target: the other classes that it is told apart from."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from camlucida.errors import MethodError
from camlucida.targets import ClassScore, Logit, Target

Order: TypeAlias = Literal["best", "nearest"]

TIE_TOLERANCE = 1e-5
"""Of two classes that a target depends on as strongly, as in "A rather than B", it is about the one it rises with."""


def own_class(target: Target, output: Tensor) -> Tensor:
    """The class (b,) whose output (b, k) the target depends on most."""
    with torch.inference_mode(False), torch.enable_grad():
        scores = output.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(target(scores).sum(), scores)
    return torch.where(gradient > 0, gradient * (1 + TIE_TOLERANCE), -gradient).argmax(1)


def competing_classes(target: Target, output: Tensor, n: int, order: Order) -> list[Target]:
    """At most `n` classes other than the target's own, an image each: scored as the target is, or by their logits.

    order    "best" scored first, or those whose score is "nearest" to the own class's first
    Raises `MethodError` where there is no other class.
    """
    if n != int(n) or n < 1:
        raise MethodError(f"n is how many other classes to compare with, a whole number from 1 on, not {n!r}.")
    n_others = output.shape[1] - 1
    if n_others < 1:
        raise MethodError("what tells a class from others needs others, and this network has a single output.")
    own_index = own_class(target, output)[:, None]
    rank = output.double() if order == "best" else -(output.double() - output.double().gather(1, own_index)).abs()
    rank = rank.scatter(1, own_index, -torch.inf)
    target_type = type(target) if isinstance(target, ClassScore) else Logit
    return [target_type(index) for index in rank.topk(min(int(n), n_others), dim=1).indices.unbind(1)]
