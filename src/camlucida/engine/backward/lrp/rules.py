"""Rules of layer-wise relevance propagation, as autograd functions with another backward pass.

The forward pass is the function itself. In the backward pass the gradient of an output is its relevance R, and the
gradient of an input is its part of R, so that ordinary autograd propagates relevance and sums over several uses.
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
"""How the relevance of z_j is distributed to the inputs of a linear layer.

With contributions a_ij = x_i w_ij to z_j, of which the bias is one, R_i = sum_j R_j f_ij with

    epsilon   f_ij = a_ij / (z_j + epsilon sign z_j)
    gamma     f_ij = (a_ij + gamma [a_ij]^s) / sum_i (a_ij + gamma [a_ij]^s), where s is the sign of z_j
    z_plus    f_ij = [a_ij]^+ / sum_i [a_ij]^+
    flat      f_ij constant in i
"""


def stabilized_ratio(relevance: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """Return R / (z + epsilon sign z), and 0 for 0 / 0."""
    denominator = z + torch.full_like(z, epsilon).copysign(z)
    return torch.where(denominator == 0, 0, relevance / denominator)


class PassThrough(Function):
    """All relevance goes to the input of an elementwise function; to several inputs in equal parts."""

    @staticmethod
    def forward(ctx: Any, run: Callable[..., Tensor], *live: Tensor) -> Tensor:
        ctx.shapes = [x.shape for x in live]
        return run(*live)

    @staticmethod
    def backward(ctx: Any, *relevance: Any) -> Any:
        return None, *((relevance[0] / len(ctx.shapes)).sum_to_size(shape) for shape in ctx.shapes)


class NoRule(Function):
    """A function that mixes values without a known rule. It may run, but no relevance may reach it."""

    @staticmethod
    def forward(ctx: Any, name: str, out: Tensor, *live: Tensor) -> Tensor:
        ctx.function = name
        return out.clone()

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise MethodError(
            f"relevance reached {ctx.function}, for which layer-wise relevance propagation has no rule. "
            "Choose a later layer, or a gradient method such as integrated_gradients, which needs no rules."
        )


@dataclass
class BatchNormFold:
    """The batch norm z scale + shift of a linear layer's output, if that norm alone reads the output.

    Rules that depend on the signs of weights are only correct if the two are treated as one layer.

    Attributes:
        scale: Scale per channel.
        shift: Shift per channel.
        feeds_norm: Whether the norm is on a path to the score.
        n_other_readers: How many other functions on a path to the score read the layer's output.
    """

    scale: Tensor | None = None
    shift: Tensor | None = None
    feeds_norm: bool = False
    n_other_readers: int = 0

    @property
    def folded(self) -> bool:
        """Return whether the norm is folded into the layer."""
        return self.feeds_norm and not self.n_other_readers


class AffineRule(Function):
    """Relevance in proportion to the contributions: R_i = x_i sum_j (d z_j / d x_i) R_j / (z_j + epsilon sign z_j).

    Arguments of `forward`:
        run: The function.
        linear_part: The function with everything constant in which it is not linear. Constant summands (a bias, a
            position embedding) keep their part of the relevance.
        epsilon: Stabiliser.
        fold: The fold of the preceding layer, where this is a norm that may be folded into it; the layer then
            distributes the relevance of both.
        live: The inputs.
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
        ctx.kept = [x.detach().clone() for x in live]  # the next operation may modify its input in place
        return run(*live)

    @staticmethod
    def backward(ctx: Any, *relevance: Any) -> Any:
        if ctx.norm_of is not None and ctx.norm_of.folded:
            return None, None, None, None, *relevance
        return None, None, None, None, *redistribute(ctx.straight, ctx.kept, relevance[0], ctx.epsilon)


def redistribute(
    linear_part: Callable[..., Tensor], inputs: Sequence[Tensor], relevance: Tensor, epsilon: float
) -> list[Tensor]:
    """Return the relevance of every input of `linear_part`, in proportion to its contributions.

    Args:
        linear_part: A function of the inputs.
        inputs: The inputs.
        relevance: Relevance of its output.
        epsilon: Stabiliser.
    """
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in inputs]
        z = linear_part(*leaves)
    gradients = torch.autograd.grad(z, leaves, stabilized_ratio(relevance, z.detach(), epsilon))
    return [x * gradient for x, gradient in zip(inputs, gradients, strict=True)]


class WeightedRule(Function):
    """A dense layer or convolution, by one of the rules of `LrpRule`.

    Arguments of `forward`:
        op: The layer, (x, weight, bias) -> z.
        weight: Its weight.
        bias: Its bias.
        rule: The rule.
        epsilon: Stabiliser of the epsilon rule.
        gamma: Parameter of the gamma rule.
        fold: A batch norm that may be folded into the layer.
        x: The input.
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
    """Return the relevance of the input, for weights that may be those of the folded layer."""
    x = ctx.kept

    def redistribute_signed(
        with_positive: Tensor, with_negative: Tensor, bias: Tensor | None, relevance: Tensor
    ) -> Tensor:
        """Distribute in proportion, with separate weights for positive and negative inputs."""

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
