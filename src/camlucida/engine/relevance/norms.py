"""Norms as the affine functions they are while their spread is held constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.engine.relevance.calls import Call
from camlucida.engine.relevance.shares import Fold


def fold_of(call: Call) -> tuple[Fold, ...]:
    """The layer before, if this is a batch norm of its output in the form that folds into it."""
    (x,) = call.live
    fold = getattr(x.grad_fn, "fold", None)
    given = call.given(_BATCH_NORM)
    if call.func is not F.batch_norm or fold is None or fold.scale is not None or given.get("training"):
        return ()
    if x.grad_fn.dense and x.ndim > 2:  # type: ignore[union-attr]
        return ()
    fold.scale, fold.shift = _scale_and_shift(x, given)
    return (fold,)


_BATCH_NORM = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")


def _scale_and_shift(x: Tensor, given: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """What a batch norm is, one number a channel; its statistics are constants, also where they are the batch's own."""
    mean, variance = given["running_mean"], given["running_var"]
    if given.get("training") or mean is None:
        dims = [d for d in range(x.ndim) if d != 1]
        mean, variance = x.detach().mean(dims), x.detach().var(dims, unbiased=False)
    scale = (variance + given.get("eps", 1e-5)).rsqrt()
    scale = scale if given.get("weight") is None else scale * given["weight"]
    return scale, -mean * scale if given.get("bias") is None else given["bias"] - mean * scale


def _batch_norm(call: Call) -> Callable[[Tensor], Tensor]:
    x, given = call.live[0], call.given(_BATCH_NORM)
    scale, shift = (t.view(1, -1, *[1] * (x.ndim - 2)) for t in _scale_and_shift(x, given))
    return lambda x: x * scale + shift


def _standardised(x: Tensor, dims: list[int], eps: float) -> Tensor:
    spread: Tensor = (x.detach().var(dims, unbiased=False, keepdim=True) + eps).sqrt()
    return (x - x.mean(dims, keepdim=True)) / spread


def _layer_norm(call: Call) -> Callable[[Tensor], Tensor]:
    given = call.given(("input", "normalized_shape", "weight", "bias", "eps"))
    weight, bias = given.get("weight"), given.get("bias")
    dims = [-1 - d for d in range(len(given["normalized_shape"]))]

    def straight(x: Tensor) -> Tensor:
        out = _standardised(x, dims, given.get("eps", 1e-5))
        out = out if weight is None else out * weight
        return out if bias is None else out + bias

    return _detached(straight, given)


def _rms_norm(call: Call) -> Callable[[Tensor], Tensor]:
    given = call.given(("input", "normalized_shape", "weight", "eps"))
    weight, dims = given.get("weight"), [-1 - d for d in range(len(given["normalized_shape"]))]

    def straight(x: Tensor) -> Tensor:
        eps = torch.finfo(x.dtype).eps if given.get("eps") is None else given["eps"]
        out = x / (x.detach().square().mean(dims, keepdim=True) + eps).sqrt()
        return out if weight is None else out * weight

    return _detached(straight, given)


def _group_norm(call: Call) -> Callable[[Tensor], Tensor]:
    given = call.given(("input", "num_groups", "weight", "bias", "eps"))
    return _by_groups(given, given["num_groups"])


def _instance_norm(call: Call) -> Callable[[Tensor], Tensor]:
    names = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
    given = call.given(names)
    return _by_groups(given, call.live[0].shape[1]) if given.get("use_input_stats", True) else _batch_norm(call)


def _by_groups(given: dict[str, Any], groups: int) -> Callable[[Tensor], Tensor]:
    weight, bias = given.get("weight"), given.get("bias")

    def straight(x: Tensor) -> Tensor:
        apart = x.reshape(len(x), groups, -1, *x.shape[2:])
        out = _standardised(apart, list(range(2, apart.ndim)), given.get("eps", 1e-5)).flatten(1, 2)
        channels = [1, -1, *[1] * (x.ndim - 2)]
        out = out if weight is None else out * weight.view(channels)
        return out if bias is None else out + bias.view(channels)

    return _detached(straight, given)


def _detached(straight: Callable[[Tensor], Tensor], given: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    del given["input"]  # it may stand in the graph that this function becomes a part of
    return straight


NORMS: dict[Callable[..., Any], Callable[[Call], Callable[[Tensor], Tensor]]] = {
    F.batch_norm: _batch_norm,
    F.instance_norm: _instance_norm,
    F.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
    torch.group_norm: _group_norm,
    F.rms_norm: _rms_norm,
    torch.rms_norm: _rms_norm,
}
"""A norm's call in, the norm with its spread held constant out."""
