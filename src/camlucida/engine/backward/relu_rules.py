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

ReluRuleName: TypeAlias = Literal["guided", "deconvolution"]

Limits: TypeAlias = tuple[Any, Any]
"""What a function cuts off below, and above; None for nothing."""

LIMITS: dict[Callable[..., Any], Callable[..., Limits]] = {
    **dict.fromkeys([torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu, F.relu_], lambda x, *_: (0, None)),
    **dict.fromkeys([F.relu6], lambda x, *_: (0, 6)),
    **dict.fromkeys([F.hardtanh, F.hardtanh_], lambda x, min_val=-1.0, max_val=1.0, *_: (min_val, max_val)),
    **dict.fromkeys(
        [torch.clamp, torch.clamp_, torch.clip, Tensor.clamp, Tensor.clamp_, Tensor.clip, Tensor.clip_],
        lambda x, min=None, max=None: (min, max),
    ),
    **dict.fromkeys(
        [torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_], lambda x, min: (min, None)
    ),
    **dict.fromkeys(
        [F.threshold, torch.threshold, torch.threshold_],
        lambda x, threshold, value, *_: (0, None) if threshold == value == 0 else (None, None),
    ),
}
"""What may be a ReLU, and how its arguments say so. `nn.ReLU6` runs as `F.hardtanh(x, 0, 6)`."""


class ReluRule(TorchFunctionMode):
    """While inside, gradients pass ReLUs by another rule; `count` is how many ReLUs ran."""

    def __init__(self, rule: ReluRuleName) -> None:
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
        limits = _relu_limits(func, args, kwargs)
        if limits is None:
            return func(*args, **kwargs)
        self.count += 1
        x: Tensor = args[0] if args else kwargs["input"]
        out: Tensor = _Relu.apply(x, limits[1], self.rule == "guided")
        if kwargs.get("inplace") or func.__name__.endswith("_"):
            return x.copy_(out)  # what is written to may be read by its old name
        return out


def _relu_limits(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Limits | None:
    """What this call cuts off, where it is a ReLU's call: everything below 0, and perhaps something above."""
    if func not in LIMITS:
        return None
    settings = {name: value for name, value in kwargs.items() if name not in ("input", "inplace", "out")}
    low, high = LIMITS[func](*(args or (kwargs.get("input"),)), **settings)
    return (low, high) if isinstance(low, int | float) and low == 0 and not isinstance(high, Tensor) else None


class _Relu(torch.autograd.Function):
    """ReLU forwards; backwards only what is positive, and with `guided` only where the ReLU was open."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, upper: float | None, guided: bool) -> Tensor:
        if guided:
            ctx.save_for_backward(x > 0 if upper is None else (x > 0) & (x < upper))
        return x.clamp(min=0, max=upper)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        input_gradient = gradients[0].clamp(min=0)
        for is_open in ctx.saved_tensors:
            input_gradient = input_gradient * is_open
        return input_gradient, None, None
