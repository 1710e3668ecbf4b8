"""DeepLIFT's multipliers of single functions: what stands in place of the derivative between a baseline and the image.

`RULES` says which rule is for what. A rule takes the function, its inputs on the image and on the
baseline, and its first setting; it returns the backward pass of that call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from camlucida.engine.backward import function_mode
from camlucida.engine.backward.function_mode import Function

BackwardRule = Callable[[Tensor], Sequence[Tensor]]
"""The gradient of a call's output in, those of its inputs out."""

DeepLiftRule = Callable[[Function, tuple[Tensor, ...], tuple[Tensor, ...], Any], BackwardRule]
"""A function of some tensors, these on the picture and on the baseline, and its first setting, in; its way back out."""


def _at_least_float32(*tensors: Tensor) -> list[Tensor]:
    return [x.to(torch.promote_types(x.dtype, torch.float32)) for x in tensors]


def _vjp(function: Function, xs: Sequence[Tensor], gradient: Tensor) -> Sequence[Tensor]:
    """The gradient pulled back through the ordinary derivative at `xs`."""
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in xs]
        return torch.autograd.grad(function(*(x.clone() for x in leaves)), leaves, gradient)


def _is_close(x: Tensor, x0: Tensor) -> Tensor:
    """Where a difference is rounding; relative, so that a kink at 0 never lies in between."""
    tolerance: float = torch.finfo(x.dtype).eps ** 0.5
    return (x - x0).abs() <= tolerance * (x.abs() + x0.abs())


def rescale(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> BackwardRule:
    multiplier = _rescale_multiplier(function, *_at_least_float32(*xs, *x0s))
    return lambda gradient: [gradient * multiplier]


def _rescale_multiplier(function: Function, x: Tensor, x0: Tensor) -> Tensor:
    is_close = _is_close(x, x0)
    multiplier: Tensor = (function(x.clone()) - function(x0.clone())) / torch.where(is_close, 1, x - x0)
    if is_close.any():
        middle = (x + x0) / 2
        multiplier = torch.where(is_close, _vjp(function, [middle], torch.ones_like(middle))[0], multiplier)
    return multiplier


def select(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> BackwardRule:
    """Whatever rises was the largest of x, whatever falls the largest of x0: so its own difference is not 0."""

    def backward(gradient: Tensor) -> list[Tensor]:
        inputs, baselines = _at_least_float32(*xs), _at_least_float32(*x0s)
        gradient = gradient.to(inputs[0].dtype)
        difference = function(*inputs) - function(*baselines)
        from_rise = _vjp(function, inputs, gradient * difference.clamp_min(0))
        from_fall = _vjp(function, baselines, gradient * difference.clamp_max(0))
        gradients = _vjp(function, inputs, gradient)
        return [
            torch.where(x == x0, g, (u + d) / torch.where(x == x0, 1, x - x0))
            for x, x0, u, d, g in zip(inputs, baselines, from_rise, from_fall, gradients, strict=True)
        ]

    return backward


def product(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> BackwardRule:
    middle = [(x + x0) / 2 for x, x0 in zip(xs, x0s, strict=True)]
    return lambda gradient: _vjp(function, middle, gradient)


def quotient(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> BackwardRule:
    """y = a / b, where y b = a by the rule of products: dy = (da - (y + y0) / 2 db) / ((b + b0) / 2).

    So it stays small where one of the two b does, as the spread of a flat baseline; here also for b of other signs.
    """
    (b,), (b0,) = xs[-1:], x0s[-1:]
    y, y0 = function(*xs), function(*x0s)
    size = b.abs() + b0.abs()
    weight_a, weight_b = (b.sign() + b0.sign()) / size, -(y * b0.sign() + y0 * b.sign()) / size

    def linearized(*differences: Tensor) -> Tensor:
        total: Tensor = weight_b * differences[-1] + (weight_a * differences[0] if len(differences) == 2 else 0)
        return total

    return lambda gradient: _vjp(linearized, xs, gradient)


def softmax(_: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], dim: int) -> BackwardRule:
    """s = exp(l) and l = x - logsumexp(x), so dl = dx - (m . dx) / sum(m), as both s add up to 1; and ds = m dl."""
    mean, backward = _log_softmax_backward(xs, x0s, dim)
    return lambda gradient: [backward(gradient * mean)]


def log_softmax(_: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], dim: int) -> BackwardRule:
    backward = _log_softmax_backward(xs, x0s, dim)[1]
    return lambda gradient: [backward(gradient)]


def _log_softmax_backward(
    xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], dim: int
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The logarithmic mean m, and the way back through l."""
    logs, logs0 = (
        x.log_softmax(dim).clamp_min(-1e4) for x in _at_least_float32(*xs, *x0s)
    )  # a mask may have put in -inf
    mean = _rescale_multiplier(torch.exp, logs, logs0)
    fraction = mean / mean.sum(dim, keepdim=True)
    return mean, lambda of_logs: of_logs - fraction * of_logs.sum(dim, keepdim=True)


RULES: dict[Function, DeepLiftRule] = {
    **dict.fromkeys(function_mode.ELEMENTWISE, rescale),
    **dict.fromkeys(function_mode.SELECTIONS, select),
    **dict.fromkeys(function_mode.PRODUCTS | function_mode.PRODUCTS_AND_SUMS, product),
    **dict.fromkeys(function_mode.QUOTIENTS, quotient),
    **dict.fromkeys(function_mode.SOFTMAXES, softmax),
    **dict.fromkeys(function_mode.LOG_SOFTMAXES, log_softmax),
}
