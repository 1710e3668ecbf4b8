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

from camlucida.engine import calls, norm_formulas
from camlucida.engine.calls import EveryCall, Function, depends, writes
from camlucida.engine.cost import WITH_GRADIENT, spend
from camlucida.engine.deeplift_rules import RULES, Back, Rule, log_softmax, product, quotient, rescale, select, softmax
from camlucida.engine.pictures import Pictures
from camlucida.errors import MethodError


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
        return func in RULES

    def call(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        rule = RULES.get(func)
        if rule is None:
            return func(*args, **kwargs)
        if not writes(func, kwargs):
            return self._ruled(rule, func, args, kwargs)
        kwargs = {**kwargs, "inplace": False} if "inplace" in kwargs else kwargs
        return args[0].copy_(self._ruled(rule, func, (args[0].clone(), *args[1:]), kwargs))

    def _ruled(self, rule: Rule, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        xs, function = _of_dependents(func, args, kwargs)
        if (
            (rule is product and len(xs) == 1)  # the other factor is a constant: linear
            or (rule is quotient and (not depends(args[-1]) or "rounding_mode" in kwargs))
            or (rule in (rescale, softmax, log_softmax) and len(xs) > 1)  # a setting depends on the picture
        ):
            return func(*args, **kwargs)
        values = tuple(x.detach().clone() for x in xs)
        if rule is select and isinstance(found := function(*values), tuple):
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


def _length(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    x = x if dtype is None else x.to(dtype)
    if ord == 1:
        return x.abs().sum(dim, keepdim)
    return x.square().sum(dim, keepdim).sqrt() if ord == 2 else (x.abs() ** ord).sum(dim, keepdim) ** (1 / ord)


Differences.written_out = {
    F.layer_norm: norm_formulas.layer_norm,
    torch.layer_norm: norm_formulas.layer_norm,
    F.group_norm: norm_formulas.group_norm,
    torch.group_norm: norm_formulas.group_norm,
    F.instance_norm: norm_formulas.instance_norm,
    F.rms_norm: norm_formulas.rms_norm,
    torch.rms_norm: norm_formulas.rms_norm,
    torch.linalg.vector_norm: _length,
    **dict.fromkeys(calls.ATTENTION, calls.attention),
}
