"""Norm layers in elementary operations, with the standard deviation as a parameter.

DeepLIFT propagates through every operation, including the standard deviation; layer-wise relevance propagation keeps
it constant, which makes a norm an affine function. Signatures are those of `torch.nn.functional`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Spread: TypeAlias = Callable[[Tensor, list[int], float], Tensor]
"""A function of values, the dimensions of one group, and eps; returns sqrt(mean(values ** 2) + eps)."""


def spread(values: Tensor, dims: list[int], eps: float) -> Tensor:
    """Return sqrt(mean(values ** 2) + eps) over `dims`, differentiable in the values."""
    return (values.square().mean(dims, keepdim=True) + eps).sqrt()


def constant_spread(values: Tensor, dims: list[int], eps: float) -> Tensor:
    """Return the result of `spread` as a constant: no gradient passes through it."""
    return spread(values.detach(), dims, eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
    *,
    spread: Spread = spread,
) -> Tensor:
    """Compute `F.layer_norm` in elementary operations."""
    dims = [-1 - i for i in range(len(normalized_shape))]
    return _affine(_standardised(input, dims, eps, spread), weight, bias)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
    *,
    spread: Spread = spread,
) -> Tensor:
    """Compute `F.group_norm` in elementary operations."""
    groups = input.reshape(len(input), num_groups, -1)
    values = _standardised(groups, [-1], eps, spread).reshape(input.shape)
    channels = (-1, *(1 for _ in input.shape[2:]))
    return _affine(values, *(None if p is None else p.view(channels) for p in (weight, bias)))


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    spread: Spread = spread,
) -> Tensor:
    """Compute `F.instance_norm` in elementary operations; with running statistics, a batch norm in eval mode."""
    if use_input_stats:
        return group_norm(input, input.shape[1], weight, bias, eps, spread=spread)
    return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
    *,
    spread: Spread = spread,
) -> Tensor:
    """Compute `F.rms_norm` in elementary operations."""
    values = _at_least_float32(input)
    dims = [-1 - i for i in range(len(normalized_shape))]
    smallest = torch.finfo(input.dtype).eps if eps is None else eps
    return _affine((values / spread(values, dims, smallest)).to(input.dtype), weight, None)


def _standardised(input: Tensor, dims: list[int], eps: float, spread: Spread) -> Tensor:
    values = _at_least_float32(input)
    centred = values - values.mean(dims, keepdim=True)
    return (centred / spread(centred, dims, eps)).to(input.dtype)


def _affine(values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    values = values if weight is None else values * weight
    return values if bias is None else values + bias


def _at_least_float32(input: Tensor) -> Tensor:
    return input.to(torch.promote_types(input.dtype, torch.float32))
