"""How a function's relevance is shared out among what it was computed from: autograd functions with another way back.

Forwards they are the function itself. Backwards, what arrives at an output is its relevance R, and what leaves for an
input is that input's share, so that ordinary autograd carries relevance, and adds up what several uses send back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.autograd import Function

from camlucida.errors import MethodError

LrpRule: TypeAlias = Literal["epsilon", "gamma", "z_plus", "flat"]
"""What a linear layer's inputs get, by their contributions a_ij = x_i w_ij to z_j, the bias being one of them:

    epsilon   a_ij / (z_j + epsilon sign z_j)
    gamma     a_ij + gamma [a_ij]^s over the sum of these, s the sign of z_j: those on the winning side count more
    z_plus    [a_ij]^+ over the sum of these
    flat      the same for all
"""


def stabilized_ratio(relevance: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """R / (z + epsilon sign z), and 0 for 0 / 0."""
    denominator = z + torch.full_like(z, epsilon).copysign(z)
    return torch.where(denominator == 0, 0, relevance / denominator)


class PassThrough(Function):
    """All of it to the one input, whatever the function did to it element by element; to several in equal parts."""

    @staticmethod
    def forward(ctx: Any, run: Callable[..., Tensor], *live: Tensor) -> Tensor:
        ctx.shapes = [x.shape for x in live]
        return run(*live)

    @staticmethod
    def backward(ctx: Any, *relevance: Any) -> Any:
        return None, *((relevance[0] / len(ctx.shapes)).sum_to_size(shape) for shape in ctx.shapes)


class NoRule(Function):
    """A function that mixes values in a way no rule is known for. It may run, but no relevance may reach it."""

    @staticmethod
    def forward(ctx: Any, name: str, out: Tensor, *live: Tensor) -> Tensor:
        ctx.function = name
        return out.clone()

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise MethodError(
            f"relevance reached {ctx.function}, for which layer-wise relevance propagation has no rule here. "
            "Choose a layer behind it, or a gradient method such as integrated_gradients, which needs no rules."
        )


@dataclass
class BatchNormFold:
    """A linear layer's output on its way to a batch norm: z scale + shift, if that norm is all that reads it.

    normed   whether that norm is on the way to the score
    others   how many other functions on that way read the layer

    Rules that look at the signs of weights are only right for the two as one layer, which is what they are.
    """

    scale: Tensor | None = None
    shift: Tensor | None = None
    feeds_norm: bool = False
    n_other_readers: int = 0

    @property
    def folded(self) -> bool:
        return self.feeds_norm and not self.n_other_readers


class AffineRule(Function):
    """In proportion to the contributions: R_i = x_i sum_j (d z_j / d x_i) R_j / (z_j + epsilon sign z_j).

    straight   the function with all held constant in which it is not linear; what is constant in it (a bias, a
               position's code) keeps its share
    fold       of the layer before, where this is a norm that may be folded into it: then that shares out for both
    """

    @staticmethod
    def forward(
        ctx: Any,
        run: Callable[..., Tensor],
        linear_part: Callable[..., Tensor],
        epsilon: float,
        fold: BatchNormFold | None,
        *live: Tensor,
    ) -> Tensor:
        ctx.straight, ctx.epsilon, ctx.norm_of = linear_part, epsilon, fold
        ctx.kept = [x.detach().clone() for x in live]  # clones: what comes next may write in place
        return run(*live)

    @staticmethod
    def backward(ctx: Any, *relevance: Any) -> Any:
        if ctx.norm_of is not None and ctx.norm_of.folded:
            return None, None, None, None, *relevance
        return None, None, None, None, *redistribute(ctx.straight, ctx.kept, relevance[0], ctx.epsilon)


def redistribute(
    linear_part: Callable[..., Tensor], inputs: Sequence[Tensor], relevance: Tensor, epsilon: float
) -> list[Tensor]:
    """Every input's share of the relevance of `straight(*inputs)`, in proportion to its contributions."""
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in inputs]
        z = linear_part(*leaves)
    gradients = torch.autograd.grad(z, leaves, stabilized_ratio(relevance, z.detach(), epsilon))
    return [x * gradient for x, gradient in zip(inputs, gradients, strict=True)]


class WeightedRule(Function):
    """A linear layer with weights: dense or convolution, by one of the rules in `Share`.

    op     (x, weight, bias) -> z
    fold   a batch norm that may come to be of one layer with it
    """

    @staticmethod
    def forward(
        ctx: Any,
        op: Callable[[Tensor, Tensor, Tensor | None], Tensor],
        weight: Tensor,
        bias: Tensor | None,
        rule: LrpRule,
        epsilon: float,
        gamma: float,
        fold: BatchNormFold | None,
        x: Tensor,
    ) -> Tensor:
        ctx.op, ctx.weight, ctx.bias = op, weight, bias
        ctx.share, ctx.epsilon, ctx.gamma, ctx.fold = rule, epsilon, gamma, fold
        ctx.dense = weight.ndim == 2
        ctx.kept = x.detach().clone()
        return op(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *relevance: Any) -> Any:
        weight, bias = ctx.weight, ctx.bias
        if ctx.fold is not None and ctx.fold.folded:
            scale = ctx.fold.scale
            weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
            bias = ctx.fold.shift if bias is None else bias * scale + ctx.fold.shift
        return *[None] * 7, _input_relevance(ctx, weight, bias, relevance[0])


def _input_relevance(ctx: Any, w: Tensor, b: Tensor | None, relevance: Tensor) -> Tensor:
    """The input's share, whose weights may be those of the folded layer."""
    x = ctx.kept

    def redistribute_signed(
        with_positive: Tensor, with_negative: Tensor, bias: Tensor | None, relevance: Tensor
    ) -> Tensor:
        """In proportion to the contributions, where the positive and negative inputs have weights of their own."""

        def linear_part(*signed: Tensor) -> Tensor:
            z: Tensor = ctx.op(signed[0], with_positive, bias)
            return z + ctx.op(signed[1], with_negative, None) if len(signed) > 1 else z

        signed = [x.clamp(min=0), x.clamp(max=0)] if bool((x < 0).any()) else [x]
        return sum(redistribute(linear_part, signed, relevance, ctx.epsilon), torch.zeros_like(x))

    if ctx.share == "epsilon":
        return redistribute(lambda x: ctx.op(x, w, b), [x], relevance, ctx.epsilon)[0]
    if ctx.share == "flat":
        return redistribute(lambda x: ctx.op(x, torch.ones_like(w), None), [torch.ones_like(x)], relevance, 0)[0]
    positive, negative = w.clamp(min=0), w.clamp(max=0)
    b_positive, b_negative = (None, None) if b is None else (b.clamp(min=0), b.clamp(max=0))
    if ctx.share == "z_plus":
        return redistribute_signed(positive, negative, b_positive, relevance)
    gamma, z = ctx.gamma, ctx.op(x, w, b)
    total = torch.zeros_like(x)
    for mask, first, second, bias_part in (
        (z > 0, positive, negative, b_positive),
        (z < 0, negative, positive, b_negative),
    ):
        masked_relevance = relevance * mask
        if bool(masked_relevance.any()):
            bias = None if b is None or bias_part is None else b + gamma * bias_part
            total = total + redistribute_signed(w + gamma * first, w + gamma * second, bias, masked_relevance)
    return total
