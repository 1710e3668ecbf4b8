"""Other backward rules for ReLU: guided backpropagation and deconvolution.

Guided backpropagation: Springenberg et al., "Striving for Simplicity: The All Convolutional Net", ICLR workshop 2015.
Deconvolution: Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014.

A `TorchFunctionMode` intercepts every ReLU of the running thread, whether it is a module, a function or a method,
in place or not. No module is replaced, and other threads are not affected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from camlucida.foreign import OutsideTorch, refuse_outside

ReluRuleName: TypeAlias = Literal["guided", "deconvolution"]

Limits: TypeAlias = tuple[Any, Any]
"""The values below and above which a function clips; None for no limit."""

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
"""Functions that may be a ReLU, and their limits by their arguments. `nn.ReLU6` runs as `F.hardtanh(x, 0, 6)`."""


class ReluRule(TorchFunctionMode):
    """Replaces the backward rule of ReLUs inside the context.

    Args:
        rule: "guided" or "deconvolution".

    Attributes:
        count: The number of ReLUs that ran.
    """

    def __init__(self, rule: ReluRuleName) -> None:
        super().__init__()
        self.rule = rule
        self.count = 0

    def outside_torch(self, call: OutsideTorch) -> None:
        """Refuse a layer that may compute a ReLU where this mode cannot replace it."""
        if call.may_hide_relu and call.runs_on != "torch":
            refuse_outside(call, f"{self.rule} backpropagation")

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
            return x.copy_(out)  # the network may read the modified tensor
        return out


def _relu_limits(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Limits | None:
    """Return the limits of a call that is a ReLU: 0, and an upper limit or None. None for any other call."""
    if func not in LIMITS:
        return None
    settings = {name: value for name, value in kwargs.items() if name not in ("input", "inplace", "out")}
    low, high = LIMITS[func](*(args or (kwargs.get("input"),)), **settings)
    return (low, high) if isinstance(low, int | float) and low == 0 and not isinstance(high, Tensor) else None


class _Relu(torch.autograd.Function):
    """ReLU whose backward pass keeps positive gradients only.

    With `guided`, also only where the ReLU was active: R = g * (g > 0) * (x > 0); otherwise R = g * (g > 0).
    """

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
