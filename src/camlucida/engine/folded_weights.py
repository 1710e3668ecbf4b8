"""Weights of convolutions with batch norms folded in: which can be folded, and a mode that replaces them in a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from camlucida.engine import nested
from camlucida.engine.run_options import Precision

TRANSPOSED: frozenset[Any] = frozenset((torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d))
LINEAR: frozenset[Any] = TRANSPOSED | {torch.conv1d, torch.conv2d, torch.conv3d, F.linear}
"""Functions of an input, a weight and a bias that are linear in their input."""

METADATA_TYPES = (bool, int, str, torch.Size, torch.dtype, torch.device, type(None))
"""Return types of functions that query a tensor (its shape, its type) without computing with its values."""


@dataclass(frozen=True)
class FoldedWeights:
    """Replacements for the weight and bias of a convolution or a linear layer.

    Attributes:
        original: The network's own weight, kept alive while its id is used as a key.
        weight: The replacement, with the norm's factor folded in.
        bias: The replacement of the bias.
        norm: Running mean of the norm that was folded in. None where there is none; then the layer keeps its own bias.
    """

    original: Tensor
    weight: Tensor
    bias: Tensor | None = None
    norm: Tensor | None = None

    def in_bfloat16(self) -> FoldedWeights:
        """Return the weights rounded to bfloat16."""
        bias = None if self.bias is None else self.bias.bfloat16()
        return replace(self, weight=self.weight.bfloat16(), bias=bias)


class FoldedWeightsMode(TorchFunctionMode):
    """Inside the context, functions use the given weights, and the norms folded into them do nothing."""

    def __init__(self, weights: Iterable[FoldedWeights]) -> None:
        super().__init__()
        self._weights = {id(w.original): w for w in weights}
        self._norms = {id(w.norm) for w in self._weights.values() if w.norm is not None}
        self._open: dict[int, Tensor] = {}
        self._diverged = False

    @property
    def succeeded(self) -> bool:
        """Return whether every folded layer was followed by its norm; if not, the output is wrong."""
        return not self._diverged and not self._open

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in LINEAR:
            call = _LinearArgs.of(args, kwargs)
            replacement = self._weights.get(id(call.weight))
            if replacement is not None:
                return self._linear(func, call, replacement)
        elif func is F.batch_norm:
            norm = _BatchNormArgs.of(args, kwargs)
            if id(norm.mean) in self._norms:
                self._diverged |= self._open.pop(id(norm.mean), None) is not norm.x
                return norm.x
        return func(*args, **kwargs)

    def _linear(self, func: Callable[..., Any], call: _LinearArgs, replacement: FoldedWeights) -> Tensor:
        if replacement.norm is None:
            return call.run(func, replacement.weight, call.bias)
        out = call.run(func, replacement.weight, replacement.bias)
        self._diverged |= id(replacement.norm) in self._open
        self._open[id(replacement.norm)] = out
        return out


class FoldRecorder(TorchFunctionMode):
    """Observes which norm follows which convolution, and whether anything else reads the value between them."""

    def __init__(self) -> None:
        super().__init__()
        self._linear_calls: list[_LinearCall] = []
        self._uses: Counter[int] = Counter()
        self._by_output = WeakIdKeyDictionary()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not isinstance(out, METADATA_TYPES) or func is Tensor.__setitem__:
            for _, tensor in nested.tensors((args, kwargs)):
                if tensor in self._by_output:
                    self._by_output[tensor].n_reads += 1
        if func in LINEAR:
            self._record(_LinearArgs.of(args, kwargs), out, transposed=func in TRANSPOSED)
        elif func is F.batch_norm:
            norm = _BatchNormArgs.of(args, kwargs)
            self._uses[id(norm.mean)] += 1
            if norm.x in self._by_output:
                self._by_output[norm.x].norm = norm
        return out

    def _record(self, call: _LinearArgs, out: Tensor, *, transposed: bool) -> None:
        self._uses[id(call.weight)] += 1
        if isinstance(call.weight, nn.Parameter):  # otherwise it is computed, and another tensor in every run
            linear_call = _LinearCall(call.weight, call.bias, tuple(out.shape), transposed)
            self._linear_calls.append(linear_call)
            self._by_output[out] = linear_call

    def weights(self, layout: torch.memory_format, precision: Precision) -> Iterable[FoldedWeights]:
        """Yield the weights to replace, for a memory format and a precision.

        Weights are folded where exactly one norm follows exactly one call; of the others, those are replaced that run
        faster in this memory format or precision.
        """
        for linear_call in self._linear_calls:
            if self._can_fold(linear_call):
                yield linear_call.folded(layout)
            elif precision == "bf16" or (linear_call.weight.ndim == 4 and layout == torch.channels_last):
                yield FoldedWeights(linear_call.weight, _with_layout(linear_call.weight, layout))

    def _can_fold(self, linear_call: _LinearCall) -> bool:
        norm = linear_call.norm
        used_once = norm is not None and self._uses[id(linear_call.weight)] == self._uses[id(norm.mean)] == 1
        return used_once and linear_call.n_reads == 1 and linear_call.can_fold


@dataclass
class _LinearCall:
    """One call of a convolution or a linear layer.

    Attributes:
        weight: Its weight.
        bias: Its bias.
        shape: Shape of its output.
        transposed: Whether it is a transposed convolution.
        n_reads: How many later calls computed with its output.
        norm: The batch norm that read its output, if any.
    """

    weight: Tensor
    bias: Tensor | None
    shape: tuple[int, ...]
    transposed: bool
    n_reads: int = 0
    norm: _BatchNormArgs | None = None

    @property
    def can_fold(self) -> bool:
        """Return whether the norm has fixed statistics, and the channel axis of the convolution's output."""
        fixed = self.norm is not None and not (self.norm.training or self.norm.mean is None)
        return fixed and len(self.shape) == self.weight.ndim

    def folded(self, layout: torch.memory_format) -> FoldedWeights:
        """Return the folded weights, computed in float64 and rounded once."""
        norm = self.norm
        assert norm is not None
        assert norm.mean is not None
        assert norm.variance is not None
        factor = (norm.variance.double() + norm.eps).rsqrt()
        if norm.weight is not None:
            factor = factor * norm.weight.double()
        shift = -norm.mean.double() if self.bias is None else self.bias.double() - norm.mean.double()
        bias = shift * factor if norm.bias is None else shift * factor + norm.bias.double()
        like = self.weight
        if self.transposed:  # (in, out / groups, ...): every group of inputs has its own outputs
            group_size = like.shape[1]
            grouped = like.double().reshape(len(factor) // group_size, -1, *like.shape[1:])
            weight = (grouped * factor.view(-1, 1, group_size, *[1] * (like.ndim - 2))).flatten(0, 1)
        else:
            weight = like.double() * factor.view(-1, *[1] * (like.ndim - 1))
        return FoldedWeights(like, _with_layout(weight.to(like.dtype), layout), bias.to(like.dtype), norm.mean)


@dataclass(frozen=True)
class _LinearArgs:
    """The arguments of a convolution or a linear layer."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    extra: tuple[Any, ...]
    keywords: Mapping[str, Any]

    @staticmethod
    def of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _LinearArgs:
        """Return the arguments of a call."""
        keywords, names = dict(kwargs), ("input", "weight", "bias")
        x, weight, bias = (args[i] if i < len(args) else keywords.pop(name, None) for i, name in enumerate(names))
        return _LinearArgs(x, weight, bias, tuple(args[3:]), keywords)

    def run(self, func: Callable[..., Any], weight: Tensor, bias: Tensor | None) -> Tensor:
        """Call the function with another weight and bias."""
        out: Tensor = func(self.x, weight, bias, *self.extra, **self.keywords)
        return out


@dataclass(frozen=True)
class _BatchNormArgs:
    """The arguments of a batch norm, in the order of `F.batch_norm`."""

    x: Tensor
    mean: Tensor | None
    variance: Tensor | None
    weight: Tensor | None = None
    bias: Tensor | None = None
    training: bool = False
    momentum: float = 0.1
    eps: float = 1e-5

    @staticmethod
    def of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _BatchNormArgs:
        """Return the arguments of a call."""
        names = {"input": "x", "running_mean": "mean", "running_var": "variance"}
        return _BatchNormArgs(*args, **{names.get(name, name): value for name, value in kwargs.items()})


def _with_layout(weight: Tensor, layout: torch.memory_format) -> Tensor:
    return weight.contiguous(memory_format=layout) if weight.ndim == 4 else weight
