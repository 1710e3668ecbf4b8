"""Norms as affine functions, with a constant standard deviation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.engine.backward.lrp.op_call import OpCall
from camlucida.engine.backward.lrp.rules import BatchNormFold
from camlucida.engine.backward.norm_formulas import constant_spread, group_norm, instance_norm, layer_norm, rms_norm

NormFunction: TypeAlias = Callable[[Tensor], Tensor]


def find_fold(call: OpCall) -> tuple[BatchNormFold, ...]:
    """Return the preceding layer's fold if this is a batch norm of its output that can be folded; otherwise ()."""
    (x,) = call.live
    fold = getattr(x.grad_fn, "fold", None)
    arguments = call.named_arguments(_BATCH_NORM)
    if call.func is not F.batch_norm or fold is None or fold.scale is not None or arguments.get("training"):
        return ()
    if x.grad_fn.dense and x.ndim > 2:  # type: ignore[union-attr]
        return ()
    fold.scale, fold.shift = _scale_and_shift(x, arguments)
    return (fold,)


_BATCH_NORM = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")


def _scale_and_shift(x: Tensor, arguments: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return a batch norm as (scale, shift) per channel; its statistics are constants, even those of a batch."""
    mean, variance = arguments["running_mean"], arguments["running_var"]
    if arguments.get("training") or mean is None:
        dims = [d for d in range(x.ndim) if d != 1]
        mean, variance = x.detach().mean(dims), x.detach().var(dims, unbiased=False)
    scale = (variance + arguments.get("eps", 1e-5)).rsqrt()
    scale = scale if arguments.get("weight") is None else scale * arguments["weight"]
    return scale, -mean * scale if arguments.get("bias") is None else arguments["bias"] - mean * scale


def _batch_norm(call: OpCall) -> NormFunction:
    x, arguments = call.live[0], call.named_arguments(_BATCH_NORM)
    scale, shift = (t.view(1, -1, *[1] * (x.ndim - 2)) for t in _scale_and_shift(x, arguments))
    return lambda x: x * scale + shift


def _instance_norm(call: OpCall) -> NormFunction:
    uses_input_stats = call.named_arguments(_INSTANCE_NORM).get("use_input_stats", True)
    return _instance_norm_of_input(call) if uses_input_stats else _batch_norm(call)


def _with_constant_spread(norm: Callable[..., Tensor], names: tuple[str, ...]) -> Callable[[OpCall], NormFunction]:
    """Return the rule of a norm of `norm_formulas` whose arguments have these `names`."""

    def rule(call: OpCall) -> NormFunction:
        arguments = call.named_arguments(names)
        del arguments["input"]  # avoids a reference cycle: it may be part of the same graph
        return lambda x: norm(x, **arguments, spread=constant_spread)

    return rule


_INSTANCE_NORM = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
_instance_norm_of_input = _with_constant_spread(instance_norm, _INSTANCE_NORM)
_layer_norm = _with_constant_spread(layer_norm, ("input", "normalized_shape", "weight", "bias", "eps"))
_group_norm = _with_constant_spread(group_norm, ("input", "num_groups", "weight", "bias", "eps"))
_rms_norm = _with_constant_spread(rms_norm, ("input", "normalized_shape", "weight", "eps"))

NORMS: dict[Callable[..., Any], Callable[[OpCall], NormFunction]] = {
    F.batch_norm: _batch_norm,
    F.instance_norm: _instance_norm,
    F.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
    torch.group_norm: _group_norm,
    F.rms_norm: _rms_norm,
    torch.rms_norm: _rms_norm,
}
"""For every norm, a function of its call that returns the norm with a constant standard deviation."""
