"""Other rules for the way back through a ReLU: guided backpropagation and deconvolution.

A `TorchFunctionMode` catches every ReLU of the running thread, whether it is a module, a function or a method,
in place or not. No module is replaced, and other threads see nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Rule: TypeAlias = Literal["guided", "deconvolution"]

RELUS = frozenset(
    [torch.relu, torch.relu_, F.relu, F.relu_, F.relu6, Tensor.relu, Tensor.relu_, torch.clamp_min, Tensor.clamp_min]
)
"""What counts as a ReLU. `F.relu6` and `clamp_min(x, 0)` are what MobileNets and hand-written networks use."""


class ReluRule(TorchFunctionMode):
    """While inside, gradients pass ReLUs by another rule; `count` is how many ReLUs ran."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.count = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func not in RELUS or not _cuts_at_zero(func, args, kwargs):
            return func(*args, **kwargs)
        kwargs.pop("inplace", None)
        self.count += 1
        x = args[0] if args else kwargs.pop("input")
        out: Tensor = _Relu.apply(x, 6.0 if func is F.relu6 else None, self.rule == "guided")
        return out


def _cuts_at_zero(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    if func not in (torch.clamp_min, Tensor.clamp_min):
        return True
    return (args[1] if len(args) > 1 else kwargs.get("min")) == 0


class _Relu(torch.autograd.Function):
    """ReLU forwards; backwards only what is positive, and with `guided` only where the ReLU was open."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float | None, guided: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.top, ctx.guided = top, guided
        return x.clamp(min=0, max=top)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        (x,) = ctx.saved_tensors
        passed = gradient.clamp(min=0)
        if ctx.guided:
            is_open = x > 0 if ctx.top is None else (x > 0) & (x < ctx.top)
            passed = passed * is_open
        return passed, None, None
