"""DeepLIFT's multipliers of single functions, which replace the derivative between a baseline and the input.

`RULES` assigns a rule to every nonlinear function. A rule takes the function, its inputs on the image and on the
baseline, and its first parameter; it returns the backward pass of that call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from camlucida.engine.backward import function_mode
from camlucida.engine.backward.function_mode import Function

BackwardRule = Callable[[Tensor], Sequence[Tensor]]
"""A function of the gradient of a call's output that returns those of its inputs."""

DeepLiftRule = Callable[[Function, tuple[Tensor, ...], tuple[Tensor, ...], Any], BackwardRule]
"""A rule of DeepLIFT.

A function of a function of tensors, their values on the input and on the baseline, and the first parameter of the
call; returns the backward pass.
"""


def _at_least_float32(*tensors: Tensor) -> list[Tensor]:
    return [x.to(torch.promote_types(x.dtype, torch.float32)) for x in tensors]


def _vjp(function: Function, xs: Sequence[Tensor], gradient: Tensor) -> Sequence[Tensor]:
    """Return the vector-Jacobian product of the gradient with the ordinary derivative at `xs`."""
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in xs]
        return torch.autograd.grad(function(*(x.clone() for x in leaves)), leaves, gradient)


def _is_close(x: Tensor, x0: Tensor) -> Tensor:
    """Return where two values differ by rounding only; relative, so that values on both sides of 0 differ."""
    tolerance: float = torch.finfo(x.dtype).eps ** 0.5
    return (x - x0).abs() <= tolerance * (x.abs() + x0.abs())


def rescale(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> BackwardRule:
    """Return the backward pass of the Rescale rule for elementwise functions, (f(x) - f(x0)) / (x - x0)."""
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
    """Return the backward pass of a maximum: increases go to the maximum of x, decreases to that of x0."""

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
    """Return the backward pass of a product: the derivative at the midpoint of input and baseline."""
    middle = [(x + x0) / 2 for x, x0 in zip(xs, x0s, strict=True)]
    return lambda gradient: _vjp(function, middle, gradient)


def quotient(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> BackwardRule:
    """Return the backward pass of a quotient y = a / b, from y b = a by the rule of products.

        dy = (da - (y + y0) / 2 db) / ((b + b0) / 2)

    It stays small where one of b and b0 does, such as the standard deviation of a constant baseline. b and b0 may have
    different signs.
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
    """Return the backward pass of a softmax.

    s = exp(l) and l = x - logsumexp(x), so dl = dx - (m . dx) / sum(m), as both s sum to 1; and ds = m dl.
    """
    mean, backward = _log_softmax_backward(xs, x0s, dim)
    return lambda gradient: [backward(gradient * mean)]


def log_softmax(_: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], dim: int) -> BackwardRule:
    """Return the backward pass of a log-softmax, dl = dx - (m . dx) / sum(m)."""
    backward = _log_softmax_backward(xs, x0s, dim)[1]
    return lambda gradient: [backward(gradient)]


def _log_softmax_backward(
    xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], dim: int
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return the logarithmic mean m, and the backward pass of a log-softmax."""
    logs, logs0 = (x.log_softmax(dim).clamp_min(-1e4) for x in _at_least_float32(*xs, *x0s))  # masked logits are -inf
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
"""The rule of every nonlinear function."""
