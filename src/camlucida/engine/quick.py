"""The same network, quicker where nobody asks for gradients: batch norm folded away, weights laid out for the machine.

In eval mode a batch norm behind a convolution is a factor and a shift a channel, which the convolution's own weights
can carry. Which norm follows which convolution is seen in one run, whatever the modules are called; then both ways
run on the same pictures, and where they differ by more than rounding the network runs as it is. Nothing is kept from
one request to the next (weights may be trained on in between), and nothing is changed: a `TorchFunctionMode`, which
is thread-local, hands the folded weights to the functions that ask for the network's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from camlucida.engine import structure
from camlucida.engine.repeats import Precision

TRANSPOSED: frozenset[Any] = frozenset((torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d))
LINEAR: frozenset[Any] = TRANSPOSED | {torch.conv1d, torch.conv2d, torch.conv3d, F.linear}
"""What takes an input, a weight and a bias, and is linear in its input."""

ABOUT = (bool, int, str, torch.Size, torch.dtype, torch.device, type(None))
"""What a function returns that asks about a tensor (its shape, its type) and does not compute with it."""

ROUNDING = {torch.float64: 1e-11, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""How far folded scores may be from the network's own, of the largest score. A wrong fold is off by its whole size."""


@dataclass(frozen=True)
class Quicker:
    """Pictures (rows, c, H, W) in, class scores (rows, k) out. The pictures are not written to."""

    module: nn.Module
    read: Callable[[Any], Tensor]
    layout: torch.memory_format
    weights: tuple[Weights, ...]
    precision: Precision

    def __call__(self, rows: Tensor) -> Tensor:
        quick = Quick(self.weights)
        with _running_in(self.precision, rows):
            with quick:
                scores = self._scores(rows, self.layout)
            return scores if quick.went_right else self._scores(rows, torch.contiguous_format)

    def _scores(self, rows: Tensor, layout: torch.memory_format) -> Tensor:
        return self.read(self.module(rows.clone(memory_format=layout)))

    def agrees(self, rows: Tensor, exact: Tensor) -> bool:
        """Whether it gives these scores, to rounding."""
        try:
            found = self(rows)
        except RuntimeError:  # a network that minds the layout, such as one with x.view(n, -1) behind a convolution
            return False
        return bool((found - exact).abs().max() <= ROUNDING.get(rows.dtype, 0) * exact.abs().max())


def as_it_is(module: nn.Module, read: Callable[[Any], Tensor]) -> Quicker:
    """The module with its own weights."""
    return Quicker(module, read, torch.contiguous_format, (), "exact")


def quicker(module: nn.Module, read: Callable[[Any], Tensor], probes: Tensor, precision: Precision) -> Quicker:
    """The quickest way to run a twin's module that gives the scores of the module itself on the pictures `probes`.

    read       finds the class scores in the output
    precision  "bf16": weights and inputs of convolutions and products are rounded to bfloat16, after the check

    Grad mode must be off. Costs two runs of the probes, and holds one copy of the convolutions' weights.
    """
    watching = _Watching()
    plain = as_it_is(module, read)
    with watching:
        exact = plain(probes)
    for layout in _layouts(probes, precision):
        found = replace(plain, layout=layout, weights=tuple(watching.weights(layout, precision)))
        if found.weights and found.agrees(probes, exact):
            break
    else:
        found = plain
    if precision == "bf16":
        return replace(found, weights=tuple(w.in_bfloat16() for w in found.weights), precision=precision)
    return found


def _layouts(rows: Tensor, precision: Precision) -> list[torch.memory_format]:
    """Best first. Graphics cards have no fast convolutions for channels last in float32."""
    channels_last = rows.ndim == 4 and not (rows.is_cuda and precision == "exact")
    return [torch.channels_last, torch.contiguous_format] if channels_last else [torch.contiguous_format]


def _running_in(precision: Precision, rows: Tensor) -> AbstractContextManager[Any]:
    return nullcontext() if precision == "exact" else torch.autocast(rows.device.type, torch.bfloat16)


@dataclass(frozen=True)
class Weights:
    """What stands in for the weight and bias of a convolution or a linear layer.

    of     the network's own weight, kept alive while its id is looked up
    norm   the running mean of the norm that is in them; None where none is, and the bias is the network's own
    """

    of: Tensor
    weight: Tensor
    bias: Tensor | None = None
    norm: Tensor | None = None

    def in_bfloat16(self) -> Weights:
        bias = None if self.bias is None else self.bias.bfloat16()
        return replace(self, weight=self.weight.bfloat16(), bias=bias)


class Quick(TorchFunctionMode):
    """While inside, functions get these weights for the network's own, and norms that are in them do nothing."""

    def __init__(self, weights: Iterable[Weights]) -> None:
        super().__init__()
        self._weights = {id(w.of): w for w in weights}
        self._norms = {id(w.norm) for w in self._weights.values() if w.norm is not None}
        self._open: dict[int, Tensor] = {}
        self._astray = False

    @property
    def went_right(self) -> bool:
        """Whether every folded convolution was followed by its norm; if not, what came out is wrong."""
        return not self._astray and not self._open

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in LINEAR:
            call = _Call.of(args, kwargs)
            own = self._weights.get(id(call.weight))
            if own is not None:
                return self._linear(func, call, own)
        elif func is F.batch_norm:
            norm = _Norm.of(args, kwargs)
            if id(norm.mean) in self._norms:
                self._astray |= self._open.pop(id(norm.mean), None) is not norm.x
                return norm.x
        return func(*args, **kwargs)

    def _linear(self, func: Callable[..., Any], call: _Call, own: Weights) -> Tensor:
        if own.norm is None:
            return call.run(func, own.weight, call.bias)
        out = call.run(func, own.weight, own.bias)
        self._astray |= id(own.norm) in self._open
        self._open[id(own.norm)] = out
        return out


class _Watching(TorchFunctionMode):
    """Sees which norm follows which convolution, and whether anybody else reads what is between them."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[_Made] = []
        self._uses: Counter[int] = Counter()
        self._by_output = WeakIdKeyDictionary()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not isinstance(out, ABOUT) or func is Tensor.__setitem__:
            for _, tensor in structure.tensors((args, kwargs)):
                if tensor in self._by_output:
                    self._by_output[tensor].reads += 1
        if func in LINEAR:
            self._note(_Call.of(args, kwargs), out, transposed=func in TRANSPOSED)
        elif func is F.batch_norm:
            norm = _Norm.of(args, kwargs)
            self._uses[id(norm.mean)] += 1
            if norm.x in self._by_output:
                self._by_output[norm.x].norm = norm
        return out

    def _note(self, call: _Call, out: Tensor, *, transposed: bool) -> None:
        self._uses[id(call.weight)] += 1
        if isinstance(call.weight, nn.Parameter):  # else it was computed, and is another tensor in every run
            made = _Made(call.weight, call.bias, tuple(out.shape), transposed)
            self._made.append(made)
            self._by_output[out] = made

    def weights(self, layout: torch.memory_format, precision: Precision) -> Iterable[Weights]:
        """Folded where one norm follows one call; of all others those that the layout or the precision helps."""
        for made in self._made:
            if self._folds(made):
                yield made.folded(layout)
            elif precision == "bf16" or (made.weight.ndim == 4 and layout == torch.channels_last):
                yield Weights(made.weight, _laid_out(made.weight, layout))

    def _folds(self, made: _Made) -> bool:
        norm = made.norm
        once = norm is not None and self._uses[id(made.weight)] == self._uses[id(norm.mean)] == 1
        return once and made.reads == 1 and made.fits


@dataclass
class _Made:
    """What a convolution or a linear layer made, and what became of it.

    reads   how often anybody computed with it
    """

    weight: Tensor
    bias: Tensor | None
    shape: tuple[int, ...]
    transposed: bool
    reads: int = 0
    norm: _Norm | None = None

    @property
    def fits(self) -> bool:
        """Whether the norm is fixed, and counts its channels where the convolution does."""
        fixed = self.norm is not None and not (self.norm.training or self.norm.mean is None)
        return fixed and len(self.shape) == self.weight.ndim

    def folded(self, layout: torch.memory_format) -> Weights:
        """Computed in float64, so that what is left is one rounding of every weight."""
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
        if self.transposed:  # (in, out / groups, …): every group of inputs has its own outputs
            a_group = like.shape[1]
            grouped = like.double().reshape(len(factor) // a_group, -1, *like.shape[1:])
            weight = (grouped * factor.view(-1, 1, a_group, *[1] * (like.ndim - 2))).flatten(0, 1)
        else:
            weight = like.double() * factor.view(-1, *[1] * (like.ndim - 1))
        return Weights(like, _laid_out(weight.to(like.dtype), layout), bias.to(like.dtype), norm.mean)


@dataclass(frozen=True)
class _Call:
    """The arguments of a convolution or a linear layer."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    rest: tuple[Any, ...]
    named: Mapping[str, Any]

    @staticmethod
    def of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call:
        named, names = dict(kwargs), ("input", "weight", "bias")
        x, weight, bias = (args[i] if i < len(args) else named.pop(name, None) for i, name in enumerate(names))
        return _Call(x, weight, bias, tuple(args[3:]), named)

    def run(self, func: Callable[..., Any], weight: Tensor, bias: Tensor | None) -> Tensor:
        out: Tensor = func(self.x, weight, bias, *self.rest, **self.named)
        return out


@dataclass(frozen=True)
class _Norm:
    """The arguments of a batch norm, in their order."""

    x: Tensor
    mean: Tensor | None
    variance: Tensor | None
    weight: Tensor | None = None
    bias: Tensor | None = None
    training: bool = False
    momentum: float = 0.1
    eps: float = 1e-5

    @staticmethod
    def of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Norm:
        names = {"input": "x", "running_mean": "mean", "running_var": "variance"}
        return _Norm(*args, **{names.get(name, name): value for name, value in kwargs.items()})


def _laid_out(weight: Tensor, layout: torch.memory_format) -> Tensor:
    return weight.contiguous(memory_format=layout) if weight.ndim == 4 else weight
