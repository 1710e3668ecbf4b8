"""DeepLIFT's multipliers of single functions: what stands in place of the derivative between a baseline and the image.

`RULES` says which rule is for what. A rule takes the function, its inputs on the image and on the
baseline, and its first setting; it returns the backward pass of that call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from camlucida.engine import calls
from camlucida.engine.calls import Function

Back = Callable[[Tensor], Sequence[Tensor]]
"""The gradient of a call's output in, those of its inputs out."""

Rule = Callable[[Function, tuple[Tensor, ...], tuple[Tensor, ...], Any], Back]
"""A function of some tensors, these on the picture and on the baseline, and its first setting, in; its way back out."""


def _exact(*tensors: Tensor) -> list[Tensor]:
    return [x.to(torch.promote_types(x.dtype, torch.float32)) for x in tensors]


def _pulled(function: Function, xs: Sequence[Tensor], gradient: Tensor) -> Sequence[Tensor]:
    """The gradient pulled back through the ordinary derivative at `xs`."""
    with torch.enable_grad():
        wanted = [x.detach().requires_grad_() for x in xs]
        return torch.autograd.grad(function(*(x.clone() for x in wanted)), wanted, gradient)


def _alike(x: Tensor, x0: Tensor) -> Tensor:
    """Where a difference is rounding; relative, so that a kink at 0 never lies in between."""
    least: float = torch.finfo(x.dtype).eps ** 0.5
    return (x - x0).abs() <= least * (x.abs() + x0.abs())


def rescale(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> Back:
    slope = _slope(function, *_exact(*xs, *x0s))
    return lambda gradient: [gradient * slope]


def _slope(function: Function, x: Tensor, x0: Tensor) -> Tensor:
    alike = _alike(x, x0)
    slope: Tensor = (function(x.clone()) - function(x0.clone())) / torch.where(alike, 1, x - x0)
    if alike.any():
        middle = (x + x0) / 2
        slope = torch.where(alike, _pulled(function, [middle], torch.ones_like(middle))[0], slope)
    return slope


def select(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> Back:
    """Whatever rises was the largest of x, whatever falls the largest of x0: so its own difference is not 0."""

    def back(gradient: Tensor) -> list[Tensor]:
        here, there = _exact(*xs), _exact(*x0s)
        gradient = gradient.to(here[0].dtype)
        rise = function(*here) - function(*there)
        up = _pulled(function, here, gradient * rise.clamp_min(0))
        down = _pulled(function, there, gradient * rise.clamp_max(0))
        plain = _pulled(function, here, gradient)
        return [
            torch.where(x == x0, g, (u + d) / torch.where(x == x0, 1, x - x0))
            for x, x0, u, d, g in zip(here, there, up, down, plain, strict=True)
        ]

    return back


def product(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> Back:
    middle = [(x + x0) / 2 for x, x0 in zip(xs, x0s, strict=True)]
    return lambda gradient: _pulled(function, middle, gradient)


def quotient(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> Back:
    """y = a / b, where y b = a by the rule of products: dy = (da - (y + y0) / 2 db) / ((b + b0) / 2).

    So it stays small where one of the two b does, as the spread of a flat baseline; here also for b of other signs.
    """
    (b,), (b0,) = xs[-1:], x0s[-1:]
    y, y0 = function(*xs), function(*x0s)
    size = b.abs() + b0.abs()
    of_a, of_b = (b.sign() + b0.sign()) / size, -(y * b0.sign() + y0 * b.sign()) / size

    def share(*differences: Tensor) -> Tensor:
        of_both: Tensor = of_b * differences[-1] + (of_a * differences[0] if len(differences) == 2 else 0)
        return of_both

    return lambda gradient: _pulled(share, xs, gradient)


def softmax(_: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], dim: int) -> Back:
    """s = exp(l) and l = x - logsumexp(x), so dl = dx - (m . dx) / sum(m), as both s add up to 1; and ds = m dl."""
    mean, through = _through_logs(xs, x0s, dim)
    return lambda gradient: [through(gradient * mean)]


def log_softmax(_: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], dim: int) -> Back:
    through = _through_logs(xs, x0s, dim)[1]
    return lambda gradient: [through(gradient)]


def _through_logs(
    xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], dim: int
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The logarithmic mean m, and the way back through l."""
    logs, logs0 = (x.log_softmax(dim).clamp_min(-1e4) for x in _exact(*xs, *x0s))  # a mask may have put in -inf
    mean = _slope(torch.exp, logs, logs0)
    share = mean / mean.sum(dim, keepdim=True)
    return mean, lambda of_logs: of_logs - share * of_logs.sum(dim, keepdim=True)


RULES: dict[Function, Rule] = {
    **dict.fromkeys(calls.ELEMENTWISE, rescale),
    **dict.fromkeys(calls.SELECTIONS, select),
    **dict.fromkeys(calls.PRODUCTS | calls.PRODUCTS_AND_SUMS, product),
    **dict.fromkeys(calls.QUOTIENTS, quotient),
    **dict.fromkeys(calls.SOFTMAXES, softmax),
    **dict.fromkeys(calls.LOG_SOFTMAXES, log_softmax),
}
