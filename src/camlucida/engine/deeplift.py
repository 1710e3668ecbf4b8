"""DeepLIFT's way back: at every nonlinear call the slope between a baseline and the picture, not at the picture.

The network runs on the baseline first, and what goes into each nonlinear call is noted; then on the picture,
with the multipliers of Shrikumar et al. (2017) in place of the derivatives:

    elementwise f     (f(x) - f(x0)) / (x - x0), the Rescale rule; f' where x and x0 are alike
    a max pooling     cross-max: what rises goes to the largest of x, what falls to the largest of x0
    a product a b     each factor at the middle, (b + b0) / 2 and (a + a0) / 2
    a quotient a / b  as y in y b = a: 2 / (b + b0) and -(y + y0) / (b + b0)
    softmax           diag(m) - m m' / sum(m), as its Jacobian, m = (s - s0) / (log s - log s0), the logarithmic mean
    norms, attention  written out as the above

Each is exact: multipliers times differences of what goes in add up to the difference of what comes out. All else is
taken as it is, and so exact if it is linear.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.engine import calls
from camlucida.engine.calls import EveryCall, Function, depends, writes
from camlucida.engine.cost import WITH_GRADIENT, spend
from camlucida.engine.pictures import Pictures
from camlucida.errors import MethodError

Back = Callable[[Tensor], Sequence[Tensor]]
"""The gradient of a call's output in, those of its inputs out."""


def multipliers(pictures: Pictures, score: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """DeepLIFT's multipliers (b, c, H, W) of the pictures against the baselines `start`, at least float32.

    score    class scores (n, b, k) in, scores (n, b) out
    """

    def run(images: Tensor, mode: Differences) -> tuple[Tensor, Tensor]:
        images = images.detach().to(pictures.inputs.dtype).clone().requires_grad_()
        with mode:
            return images, score(pictures.read(pictures.twin.module(images.clone()))[None]).sum()

    with torch.inference_mode(False), torch.enable_grad():
        noting = Differences(type(pictures.twin.module).__name__)
        run(start, noting)
        mode = Differences(noting.network, deque(noting.noted))
        images, total = run(pictures.inputs, mode)
        mode.finish()
        (found,) = torch.autograd.grad(total, images)
    spend(len(start) + len(images) * WITH_GRADIENT)
    return found.to(torch.promote_types(found.dtype, torch.float32))


class Differences(EveryCall):
    """Notes what goes into every nonlinear call; with the notes of the baseline, puts multipliers in their place."""

    def __init__(self, network: str, baseline: deque[tuple[str, tuple[Tensor, ...]]] | None = None) -> None:
        super().__init__()
        self.network = network
        self.noted: list[tuple[str, tuple[Tensor, ...]]] = []
        self.baseline = baseline

    def known(self, func: Function) -> bool:
        return func in _RULES

    def call(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        rule = _RULES.get(func)
        if rule is None:
            return func(*args, **kwargs)
        if not writes(func, kwargs):
            return self._ruled(rule, func, args, kwargs)
        kwargs = {**kwargs, "inplace": False} if "inplace" in kwargs else kwargs
        return args[0].copy_(self._ruled(rule, func, (args[0].clone(), *args[1:]), kwargs))

    def _ruled(self, rule: Rule, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        xs, function = _of_dependents(func, args, kwargs)
        if (
            (rule is _product and len(xs) == 1)  # the other factor is a constant: linear
            or (rule is _quotient and (not depends(args[-1]) or "rounding_mode" in kwargs))
            or (rule in (_rescale, _softmax, _log_softmax) and len(xs) > 1)  # a setting depends on the picture
        ):
            return func(*args, **kwargs)
        values = tuple(x.detach().clone() for x in xs)
        if rule is _select and isinstance(found := function(*values), tuple):
            # The places of the largest come along: no numbers of the picture.
            largest = self._passed(rule, func.__name__, lambda *v: function(*v)[0], xs, values, None)
            return type(found)((largest, *found[1:]))
        return self._passed(rule, func.__name__, function, xs, values, args[1] if len(args) > 1 else kwargs.get("dim"))

    def _passed(
        self, rule: Rule, name: str, function: Function, xs: list[Tensor], values: tuple[Tensor, ...], setting: Any
    ) -> Any:
        if self.baseline is None:
            self.noted.append((name, values))
            return function(*(x.clone() for x in xs))
        return _Way.apply(function(*values), rule(function, values, self._next(name, values), setting), *xs)

    def _next(self, name: str, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What went into the same call on the baseline."""
        assert self.baseline is not None
        there, found = self.baseline.popleft() if self.baseline else ("nothing", ())
        if there != name or [x.shape for x in found] != [x.shape for x in values]:
            raise self._other_path(f"{name} of {_shapes(values)}", f"{there} of {_shapes(found)}")
        return found

    def finish(self) -> None:
        """`MethodError` where the baseline went further."""
        if self.baseline:
            there, found = self.baseline[0]
            raise self._other_path("nothing", f"{there} of {_shapes(found)}")

    def _other_path(self, picture: str, baseline: str) -> MethodError:
        return MethodError(
            f"deep_lift compares a run on the picture with one on the baseline, call by call, and {self.network} takes "
            f"different paths: {picture} on the picture, {baseline} on the baseline. Use integrated_gradients."
        )


def _shapes(tensors: Sequence[Tensor]) -> str:
    return " and ".join("×".join(map(str, x.shape)) for x in tensors) or "no tensors"


def _of_dependents(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Tensor], Function]:
    """The tensors that depend on the picture, and the call as a function of them."""
    named = list(kwargs)
    given = [*args, *kwargs.values()]
    places = [i for i, value in enumerate(given) if depends(value)]

    def function(*values: Tensor) -> Any:
        put = list(given)
        if values[0].dtype != given[places[0]].dtype:  # asked for more exactly: weights have to follow
            put = [v.to(values[0].dtype) if isinstance(v, Tensor) and v.is_floating_point() else v for v in given]
        for place, value in zip(places, values, strict=True):
            put[place] = value
        return func(*put[: len(args)], **dict(zip(named, put[len(args) :], strict=True)))

    return [given[i] for i in places], function


class _Way(torch.autograd.Function):
    """Gives out `value`; gradients go back by `back`."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, back: Back, *xs: Tensor) -> Tensor:
        ctx.back, ctx.dtypes = back, [x.dtype for x in xs]
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        found = ctx.back(gradients[0])
        return None, None, *(g.to(dtype) for g, dtype in zip(found, ctx.dtypes, strict=True))


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


def _rescale(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> Back:
    slope = _slope(function, *_exact(*xs, *x0s))
    return lambda gradient: [gradient * slope]


def _slope(function: Function, x: Tensor, x0: Tensor) -> Tensor:
    alike = _alike(x, x0)
    slope: Tensor = (function(x.clone()) - function(x0.clone())) / torch.where(alike, 1, x - x0)
    if alike.any():
        middle = (x + x0) / 2
        slope = torch.where(alike, _pulled(function, [middle], torch.ones_like(middle))[0], slope)
    return slope


def _select(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> Back:
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


def _product(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> Back:
    middle = [(x + x0) / 2 for x, x0 in zip(xs, x0s, strict=True)]
    return lambda gradient: _pulled(function, middle, gradient)


def _quotient(function: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], _: Any) -> Back:
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


def _softmax(_: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], dim: int) -> Back:
    """s = exp(l) and l = x - logsumexp(x), so dl = dx - (m . dx) / sum(m), as both s add up to 1; and ds = m dl."""
    mean, through = _through_logs(xs, x0s, dim)
    return lambda gradient: [through(gradient * mean)]


def _log_softmax(_: Function, xs: tuple[Tensor, ...], x0s: tuple[Tensor, ...], dim: int) -> Back:
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


_RULES: dict[Function, Rule] = {
    **dict.fromkeys(calls.ELEMENTWISE, _rescale),
    **dict.fromkeys(calls.SELECTIONS, _select),
    **dict.fromkeys(calls.PRODUCTS | calls.PRODUCTS_AND_SUMS, _product),
    **dict.fromkeys(calls.QUOTIENTS, _quotient),
    **dict.fromkeys(calls.SOFTMAXES, _softmax),
    **dict.fromkeys(calls.LOG_SOFTMAXES, _log_softmax),
}


# --- functions written out ---


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    return _scaled(_standardised(input, [-1 - i for i in range(len(normalized_shape))], eps), weight, bias)


def _group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: bool,
) -> Tensor:
    found = _standardised(input.reshape(len(input), num_groups, -1), [-1], eps).reshape(input.shape)
    of_channels = (-1, *(1 for _ in input.shape[2:]))
    return _scaled(found, *(None if p is None else p.view(of_channels) for p in (weight, bias)))


def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if use_input_stats:
        return _group_norm(input, input.shape[1], weight, bias, eps)
    return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)


def _rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    (x,) = _exact(input)
    dims = [-1 - i for i in range(len(normalized_shape))]
    least = torch.finfo(input.dtype).eps if eps is None else eps
    return _scaled((x / (x.square().mean(dims, keepdim=True) + least).sqrt()).to(input.dtype), weight, None)


def _standardised(input: Tensor, dims: list[int], eps: float) -> Tensor:
    (x,) = _exact(input)
    centred = x - x.mean(dims, keepdim=True)
    return (centred / (centred.square().mean(dims, keepdim=True) + eps).sqrt()).to(input.dtype)


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _length(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    x = x if dtype is None else x.to(dtype)
    if ord == 1:
        return x.abs().sum(dim, keepdim)
    return x.square().sum(dim, keepdim).sqrt() if ord == 2 else (x.abs() ** ord).sum(dim, keepdim) ** (1 / ord)


Differences.written_out = {
    F.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
    torch.group_norm: _group_norm,
    F.instance_norm: _instance_norm,
    F.rms_norm: _rms_norm,
    torch.rms_norm: _rms_norm,
    torch.linalg.vector_norm: _length,
    **dict.fromkeys(calls.ATTENTION, calls.attention),
}
