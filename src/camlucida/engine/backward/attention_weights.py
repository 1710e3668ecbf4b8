"""Attention weights of a network, made explicit while it runs.

A `TorchFunctionMode` intercepts the ways in which attention is written: the fused function, PyTorch's multi-head
function (which calls one of the others), a softmax over a square matrix or over several heads, and `grid_sample` after
a softmax, with which deformable attention reads points. The network's outputs are unchanged, but the weights, which a
fused kernel never materialises, become tensors that gradients can be taken of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from camlucida.engine.backward.sampled_attention import Sampling, is_complete, may_sample
from camlucida.engine.trace import at_least_float32

SOFTMAXES = frozenset({F.softmax, torch.softmax, torch.special.softmax, Tensor.softmax})
"""Softmax functions whose output may be attention weights."""


class AttentionWeights(TorchFunctionMode):
    """Collect the weights of every attention that runs inside the context.

    Attributes:
        attention_weights: The weights in the order of the calls, (..., queries, keys); (b, queries, heads, points) for
            attention to sampled points.
        samplings: By the index of weights, the calls of `grid_sample` after their softmax that may be its points.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attention_weights: list[Tensor] = []
        self.samplings: dict[int, list[Sampling]] = {}
        self._is_multi_head = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.multi_head_attention_forward:
            self._is_multi_head = True
            try:
                with self:  # a mode is inactive while it handles a call, and the attention runs inside this one
                    return _multi_head_attention(*args, **kwargs)
            finally:
                self._is_multi_head = False
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        result = func(*args, **kwargs)
        if func is F.grid_sample:
            self._sample(result, *args, **kwargs)
        is_kept = func in SOFTMAXES and (
            self._is_multi_head or _is_attention(result, *args[1:2], **kwargs) or self._crosses(result, *args, **kwargs)
        )
        return self._keep(result) if is_kept else result

    def _crosses(self, result: Tensor, _: Tensor, dim: int | None = None, **__: Any) -> bool:
        """Return whether a softmax is the attention of queries to the tokens of earlier weights (b heads, t, t)."""
        if result.ndim != 3 or dim not in (-1, 2) or not self.attention_weights:
            return False
        n, _queries, tokens = result.shape
        return tuple(self.attention_weights[0].shape) == (n, tokens, tokens)

    def _sample(
        self,
        samples: Tensor,
        input: Tensor,
        grid: Tensor,
        mode: str = "bilinear",
        padding_mode: str = "zeros",
        align_corners: bool | None = None,
    ) -> None:
        """Record a call of `grid_sample` if its samples may be multiplied by the last recorded weights."""
        if not self.attention_weights:
            return
        weights, of_weights = self.attention_weights[-1], self.samplings.get(len(self.attention_weights) - 1, [])
        if may_sample(weights, of_weights, input, grid, (mode, padding_mode, bool(align_corners))):
            if not samples.requires_grad:
                samples.requires_grad_()
            self.samplings[len(self.attention_weights) - 1] = [*of_weights, Sampling.of(input, grid, samples)]

    def sampled(self) -> dict[int, list[Sampling]]:
        """Return the samples of all weights of which every one has a sampled point."""
        return {i: s for i, s in self.samplings.items() if is_complete(self.attention_weights[i], s)}

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Compute the fused function step by step; explaining runs in eval mode, so dropout is ignored."""
        device_type = query.device.type
        if torch.is_autocast_enabled(device_type) and query.dtype is not torch.float64:
            dtype = torch.get_autocast_dtype(device_type)  # autocast converts the inputs of the fused function
            query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        # In half precision the fused kernels also accumulate and compute the softmax in float32. Autocast would round
        # the products and the weights.
        with torch.autocast(device_type, enabled=False):
            if enable_gqa:
                groups = query.shape[-3] // key.shape[-3]
                key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
            logits = at_least_float32(query) @ at_least_float32(key).mT
            logits = logits * (query.shape[-1] ** -0.5 if scale is None else scale)
            if is_causal:
                attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
            if attn_mask is not None:
                is_boolean = attn_mask.dtype is torch.bool
                logits = logits.masked_fill(~attn_mask, -math.inf) if is_boolean else logits + attn_mask
            weights = logits.softmax(-1)
            if attn_mask is not None:  # fully masked rows are 0, not NaN
                weights = weights.masked_fill(logits.isneginf().all(-1, keepdim=True), 0)
            return self._keep(weights).to(value.dtype) @ value

    def _keep(self, weights: Tensor) -> Tensor:
        """Record attention weights, and return a copy for the network, which may modify it in place.

        The graph begins at the first recorded weights.
        """
        torch.set_grad_enabled(True)  # also inside a `no_grad` of the network's own
        kept = weights if weights.requires_grad else weights.detach().requires_grad_()
        self.attention_weights.append(kept)
        return kept.clone()


_multi_head_attention = FunctionType(
    F.multi_head_attention_forward.__code__,
    F.multi_head_attention_forward.__globals__ | {"has_torch_function": lambda tensors: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)
"""PyTorch's own implementation, without the check that would pass the call to the mode again."""


def _is_attention(result: Tensor, dim: int | None = None, **_: Any) -> bool:
    """Return whether a softmax over `dim` returned attention weights: square, or of several heads."""
    if result.ndim < 3 or dim not in (-1, result.ndim - 1) or result.shape[-1] == 1:
        return False
    return result.ndim >= 4 or result.shape[-2] == result.shape[-1]
