"""Layer-wise relevance propagation: which function shares out its relevance in which way (`shares.py` has the ways).

A `TorchFunctionMode` catches every function of the running thread, whether a module called it or the network's own
code. It computes what it always computes; only its way back is another. No module is replaced, other threads see
nothing of it. A function that nothing here knows may run, but relevance that reaches it is a `MethodError`.

    linear, conv                          one of the rules; with the batch norm after it as one layer
    activations, times or over constants  all to the input
    sums, means, average pooling, norms   in proportion; the spread of a norm is constant
    products                              a gate (squeeze-excitation, GLU) is constant; two equals get half each
    softmax                               constant: through attention relevance goes by the values alone
    max pooling, shapes, indices          as gradients go: to the winner, to where it came from
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from camlucida.engine import structure
from camlucida.engine.shares import Affine, Fold, Passed, Share, Unruled, Weighted
from camlucida.engine.tape import structure_get
from camlucida.engine.trace import Traced, at_least_float32
from camlucida.engine.twin import Twin
from camlucida.errors import LayerError, MethodError, nearest

RULES: dict[str, tuple[Share, Share, Share]] = {
    "composite": ("flat", "z_plus", "epsilon"),
    "epsilon": ("epsilon", "epsilon", "epsilon"),
    "gamma": ("gamma", "gamma", "gamma"),
    "z_plus": ("z_plus", "z_plus", "z_plus"),
}
"""Name -> what is used at the first layer, at convolutions, at dense layers."""


@dataclass(frozen=True)
class RelevanceRule:
    """A rule by name, with its numbers; `epsilon` is in units of what the layers give out."""

    name: str = "composite"
    epsilon: float = 1e-6
    gamma: float = 0.25

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise MethodError(f"no rule {self.name!r}.{nearest(str(self.name), RULES)} Known: {', '.join(RULES)}.")
        if not (0 <= self.epsilon < float("inf") and 0 <= self.gamma < float("inf")):
            raise MethodError(f"epsilon and gamma are numbers from 0 on, not {self.epsilon!r} and {self.gamma!r}.")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SAME = {
    **dict.fromkeys(_words("__add__ __radd__ __iadd__"), "add"),
    **dict.fromkeys(_words("__sub__ __isub__ __rsub__ rsub subtract subtract_"), "sub"),
    **dict.fromkeys(_words("__mul__ __rmul__ __imul__ multiply multiply_"), "mul"),
    **dict.fromkeys(_words("__truediv__ __itruediv__ __div__ __idiv__ divide divide_ true_divide true_divide_"), "div"),
    **dict.fromkeys(_words("__rtruediv__ __rdiv__"), "reciprocal"),
    **dict.fromkeys(_words("__matmul__ __rmatmul__"), "matmul"),
    **dict.fromkeys(_words("__pow__ __ipow__"), "pow"),
    **dict.fromkeys(_words("__neg__ negative"), "neg"),
}
IN_PLACE = _words("__iadd__ __isub__ __imul__ __itruediv__ __idiv__ __ipow__")

NATURAL = _words(
    """
    reshape reshape_as view view_as flatten unflatten ravel permute transpose t T mT H mH movedim moveaxis swapaxes
    swapdims squeeze unsqueeze expand expand_as broadcast_to repeat repeat_interleave tile contiguous clone to float
    double type type_as cpu cuda cat concat concatenate stack hstack vstack dstack split split_with_sizes chunk
    tensor_split unbind narrow select index_select gather take_along_dim __getitem__ __setitem__ copy diagonal
    masked_select masked_fill where pad constant_pad_nd roll flip fliplr flipud rot90 pixel_shuffle pixel_unshuffle
    channel_shuffle native_channel_shuffle unfold as_strided tril triu max_pool1d max_pool2d max_pool3d
    max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d max min amax amin maximum minimum sort topk zero fill requires_grad real atleast_1d atleast_2d
    atleast_3d meshgrid fmax fmin
    """
)
"""Those that move, copy or choose: the gradient of a choice goes where relevance goes."""

GATES = _words("sigmoid hardsigmoid tanh erf relu6 hardtanh special_expit special_erf")
"""What may stand for an open or closed gate, where it is multiplied with a signal."""

ELEMENTWISE = GATES | _words(
    """
    relu leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish softplus softsign logsigmoid threshold clamp
    clamp_min clamp_max clip tanhshrink softshrink hardshrink neg abs exp expm1 log log1p sqrt rsqrt square pow reciprocal
    sin cos dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout normalize
    """
)
"""Those of one value each. The length by which `normalize` divides is constant."""

AFFINE = _words(
    """
    add sub sum mean cumsum diff fold avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d interpolate upsample upsample_bilinear upsample_nearest
    """
)
"""Those that are linear in all they are given, together."""

BILINEAR = {
    **dict.fromkeys(_words("matmul mm bmm mv dot inner outer tensordot grid_sample linear bilinear"), 0),
    **dict.fromkeys(_words("einsum addmm addbmm baddbmm addmv addcmul"), 1),
}
"""Those that multiply what they are given, and which argument is the first of their factors."""

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
WEIGHTED = {
    "linear": ("input", "weight", "bias"),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _CONV),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _TRANSPOSED),
}
"""Layers with weights, and the names of their arguments."""

STRAY = _words(
    """
    Mul Add Sub Rsub Div Mean Sum Addmm Mm Bmm Baddbmm Mv Convolution CudnnConvolution MkldnnConvolution Sigmoid Relu Gelu
    Silu Tanh Hardswish Hardsigmoid Hardtanh Elu LeakyRelu Mish Softplus Clamp Softmax LogSoftmax Pow Exp Log Sqrt Rsqrt
    NativeBatchNorm CudnnBatchNorm NativeLayerNorm NativeGroupNorm AvgPool2D AdaptiveAvgPool2D DifferentiableGraph
    """
)
"""Autograd's names for what never stands in our graph, unless something computed where no mode could catch it."""


@dataclass(frozen=True)
class Call:
    """A function with its arguments; `live` are those, each once, that relevance may reach."""

    func: Callable[..., Any]
    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    live: tuple[Tensor, ...]
    in_place: bool

    def given(self, names: Sequence[str]) -> dict[str, Any]:
        """All arguments by name."""
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}

    def holding(self, *constant: Tensor) -> Call:
        """The same with these arguments cut off."""

        def cut(_: structure.Path, t: Tensor) -> Tensor:
            return t.detach() if any(t is c for c in constant) else t

        live = tuple(t for t in self.live if not any(t is c for c in constant))
        return Call(
            self.func,
            self.name,
            structure.transform(tuple(self.args), cut),
            structure.transform(dict(self.kwargs), cut),
            live,
            self.in_place,
        )

    def function(self) -> Callable[..., Any]:
        """What was called, as a function of `live`. It holds none of these: they may stand in its own graph."""
        blanks = [torch.empty(0) for _ in self.live]
        where = {id(t): blank for t, blank in zip(self.live, blanks, strict=True)}
        form = structure.transform((tuple(self.args), dict(self.kwargs)), lambda _, t: where.get(id(t), t))
        func, in_place = self.func, self.in_place

        def run(*live: Tensor) -> Any:
            # Written to is a clone, and by the caller then what the network itself holds.
            put = {id(b): t.clone() if in_place else t for b, t in zip(blanks, live, strict=True)}
            args, kwargs = structure.transform(form, lambda _, t: put.get(id(t), t))
            return func(*args, **kwargs)

        return run


class RelevanceMode(TorchFunctionMode):
    """While inside, functions get their way back for relevance; the pass back itself is made outside.

    picture   what the network is given, so that the first layer is known; None where the graph begins at a layer
    """

    def __init__(self, rule: RelevanceRule, picture: Tensor | None) -> None:
        super().__init__()
        self.rule = rule
        self.at_first, self.at_conv, self.at_dense = RULES[rule.name]
        self._marks = WeakTensorKeyDictionary()
        if picture is not None:
            self._marks[picture] = frozenset({"raw"})

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        # In half precision small shares would vanish: such networks run with their weights in float32.
        args, kwargs = structure.transform((tuple(args), dict(kwargs or {})), lambda _, t: at_least_float32(t))
        live = {id(t): t for _, t in structure.tensors((args, kwargs)) if t.requires_grad}
        if not live or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        name = _name(func)
        in_place = bool(kwargs.get("inplace")) or name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))
        plain = SAME.get(name, name if name.endswith("__") else name.rstrip("_"))
        if plain in NATURAL:
            return self._marked(func(*args, **kwargs), *live.values())
        kwargs = {**kwargs, "inplace": False} if "inplace" in kwargs else kwargs
        out = self._ruled(Call(func, plain, args, kwargs, tuple(live.values()), in_place))
        if not in_place or not isinstance(out, Tensor):
            return out
        target: Tensor = args[0] if args else kwargs["input"]
        return target.copy_(out)  # what is written to may be read by its old name

    def _ruled(self, call: Call) -> Any:
        if call.name in WEIGHTED and self._factors(call, 0) == 1 and call.live[0] is call.given(("input",))["input"]:
            return self._weighted(call)
        if call.name in ELEMENTWISE and len(call.live) == 1:
            return self._marked(Passed.apply(call.function(), *call.live), *call.live, gate=call.name in GATES)
        if call.name in ("mul", "div"):
            return self._product(call)
        if call.name in AFFINE or (call.name in BILINEAR and self._factors(call, BILINEAR[call.name]) <= 1):
            out = self._affine(call, call.function())
            return self._marked(out, *call.live) if call.name in ("add", "sub") else out
        if call.name == "softmax":
            return call.holding(*call.live).function()()
        if call.name == "scaled_dot_product_attention":
            return self._attention(call)
        if call.name == "multi_head_attention_forward":
            return self._multi_head(call)
        if call.func in NORMS and len(call.live) == 1:
            return self._affine(call, NORMS[call.func](call), *_fold(call))
        return self._unruled(call)

    def _factors(self, call: Call, begin: int) -> int:
        """How many of the factors relevance may reach."""
        parts = (call.args[begin:], call.kwargs)
        return sum(t.requires_grad for _, t in structure.tensors(parts))

    def _affine(self, call: Call, straight: Callable[..., Tensor], fold: Fold | None = None) -> Tensor:
        out: Tensor = Affine.apply(call.function(), straight, self.rule.epsilon, fold, *call.live)
        return out

    def _weighted(self, call: Call) -> Tensor:
        given = call.given(WEIGHTED[call.name])
        x, weight, bias = given.pop("input"), given.pop("weight"), given.pop("bias", None)
        func, dense = call.func, call.name == "linear"
        share = self.at_dense if dense else self.at_conv
        if "raw" in self._marks.get(x, ()):
            share = self.at_first
        # A transposed convolution's weights have their outputs second: a norm after it stays a layer of its own.
        fold = None if call.name.startswith("conv_transpose") else Fold()
        rule = self.rule

        def op(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            out: Tensor = func(x, w, b, **given)
            return out

        found: Tensor = Weighted.apply(op, weight, bias, share, rule.epsilon, rule.gamma, fold, x)
        return found

    def _product(self, call: Call) -> Any:
        """Times or over a constant all passes; so it does where one factor is a gate, or the lower part of a fraction."""
        first, second = (*call.args, *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs))[:2]
        if len(call.live) == 1:
            return self._marked(Passed.apply(call.function(), *call.live), *call.live)
        held = second if call.name == "div" else self._gate(first, second)
        call = call if held is None else call.holding(held)
        return Passed.apply(call.function(), *call.live)

    def _gate(self, a: Tensor, b: Tensor) -> Tensor | None:
        """Which of two factors only lets the other through: what came out of a gate, else what has fewer values."""
        gates = ["gate" in self._marks.get(t, ()) for t in (a, b)]
        if gates[0] != gates[1]:
            return a if gates[0] else b
        if a.numel() != b.numel():
            return a if a.numel() < b.numel() else b
        return None

    def _attention(self, call: Call) -> Any:
        given = call.given(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"))
        value = given.pop("value")
        given = structure.transform(given, lambda _, t: t.detach())
        arguments = (given.pop("query"), given.pop("key"), value)
        held = Call(call.func, call.name, arguments, given, (value,) if value.requires_grad else (), call.in_place)
        return self._affine(held, held.function()) if held.live else held.function()()

    def _multi_head(self, call: Call) -> Any:
        """The weights of attention as PyTorch finds them, held constant; the values with their two dense layers."""
        names = F.multi_head_attention_forward.__code__.co_varnames
        given = call.given(names)
        query, value = given["query"], given["value"]
        apart, extra = given.get("use_separate_proj_weight"), given.get("bias_k") is not None
        if query.ndim != 3 or extra or given.get("add_zero_attn") or not value.requires_grad:
            return self._unruled(call)
        whole = {**given, "need_weights": True, "average_attn_weights": False}
        whole = structure.transform(whole, lambda _, t: t.detach())
        _, weights = F.multi_head_attention_forward(**whole)  # (b, heads, queries, keys)
        packed, bias = given["in_proj_weight"], given["in_proj_bias"]
        with self:
            projected = F.linear(
                value,
                given["v_proj_weight"] if apart else packed.chunk(3)[2],
                None if bias is None else bias.chunk(3)[2],
            )
            heads = projected.unflatten(-1, (given["num_heads"], -1)).permute(1, 2, 0, 3)
            joined = torch.matmul(weights, heads).permute(2, 0, 1, 3).flatten(2)
            out = F.linear(joined, given["out_proj_weight"], given["out_proj_bias"])
        if not given.get("need_weights", True):
            return out, None
        return out, weights.mean(1) if given.get("average_attn_weights", True) else weights

    def _unruled(self, call: Call) -> Any:
        out = call.func(*call.args, **call.kwargs)
        name = _full_name(call.func)
        return structure.transform(
            out, lambda _, t: Unruled.apply(name, t.detach(), *call.live) if t.requires_grad else t
        )

    def _marked(self, out: Any, *live: Tensor, gate: bool = False) -> Any:
        """What all it was made of are (the raw picture, a gate), it is."""
        marks = frozenset.intersection(*(self._marks.get(t, frozenset()) for t in live))
        if marks := marks | {"gate"} if gate else marks:
            for _, tensor in structure.tensors(out):
                self._marks[tensor] = marks
        return out


def _name(func: Callable[..., Any]) -> str:
    if func.__name__ == "__get__":  # an attribute, such as x.mT
        return str(getattr(getattr(func, "__self__", None), "__name__", ""))
    return func.__name__.partition(".")[0]


def _full_name(func: Callable[..., Any]) -> str:
    owner = getattr(func, "__objclass__", None) or getattr(func, "__module__", None) or "torch"
    return f"{getattr(owner, '__name__', owner)}.{_name(func)}"


def _fold(call: Call) -> tuple[Fold, ...]:
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


def _standardised(x: Tensor, dims: Sequence[int], eps: float) -> Tensor:
    spread = (x.detach().var(dims, unbiased=False, keepdim=True) + eps).sqrt()
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
        apart = x.unflatten(1, (groups, -1))
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


@dataclass
class _Cut:
    """Begins the graph at what a layer gives out."""

    traced: Traced
    leaf: Tensor | None = None
    _calls: int = 0

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        capture = self.traced.capture
        if module is not capture.module:
            return output
        self._calls += 1
        if self._calls != capture.call:
            return output
        tensor = structure_get(output, capture.path)
        self.leaf = at_least_float32(tensor.detach()).clone().requires_grad_()
        torch.set_grad_enabled(True)  # the layer may stand inside the network's own `no_grad`
        return structure.exchange(output, tensor, self.leaf.clone())


class Relevances:
    """One run of a network under one rule, and the relevance at its picture, or at a layer, from any score.

    read     finds the class scores (b, k) in the output
    traced   the layer; None for the picture, which then is a tensor
    """

    def __init__(
        self, twin: Twin, inputs: Any, read: Callable[[Any], Tensor], rule: RelevanceRule, traced: Traced | None = None
    ) -> None:
        self._twin, self._traced = twin, traced
        with torch.inference_mode(False), torch.set_grad_enabled(traced is None):
            given = structure.transform(inputs, lambda _, t: at_least_float32(t.detach()).clone())
            if traced is None:
                self._leaf = given.requires_grad_()
                with RelevanceMode(rule, self._leaf):
                    output = twin.module(self._leaf.clone())
            else:
                cut = _Cut(traced)
                with RelevanceMode(rule, None):
                    output = twin.run(cut, given)
                if cut.leaf is None:
                    raise LayerError(f"{traced.layer.name!r} was not reached this time.")
                self._leaf = cut.leaf
        with torch.enable_grad():
            self._outputs = read(output)
        self._check()

    def of(self, score: Callable[[Tensor], Tensor], *, contrast: bool = False) -> tuple[Tensor, Tensor]:
        """Relevance at the picture (b, c, H, W) or the layer (b, c, h, w), and all that it began with, (b,).

        It begins as output times d score / d output: the logit of a class, or for one class rather than another the
        one's logit and the other's negative. With `contrast` the classes not asked for begin with as much in
        all, negative and in equal parts.
        """
        with torch.inference_mode(False), torch.enable_grad():
            outputs = self._outputs.detach().requires_grad_()
            (slope,) = torch.autograd.grad(score(outputs).sum(), outputs)
            begin = outputs.detach() * slope
            total = begin.sum(1, keepdim=True)
            others = (slope == 0).to(begin)
            if contrast:
                begin = begin - others * total / others.sum(1, keepdim=True).clamp(min=1)
            (found,) = torch.autograd.grad(self._outputs, self._leaf, begin, retain_graph=True)
        found = found if self._traced is None else self._traced.layout.to_grid(found)
        return found.detach(), begin.sum(1)

    def _check(self) -> None:
        """That the score depends on where relevance shall arrive, and that nothing ran where no rule could see it.

        Also finds what reads the layers that may be of one with a batch norm.
        """
        kind = type(self._twin.module).__name__
        reached, todo, seen = False, [self._outputs.grad_fn], set()
        while todo:
            node = todo.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            name = node.name()
            ours = isinstance(node, _OURS)
            if not ours and (name.partition("Backward")[0] in STRAY or isinstance(node, _CUSTOM)):
                raise MethodError(
                    f"{kind} computes {name.partition('Backward')[0]} in compiled code or an autograd function of its "
                    "own, where relevance cannot follow. Use a gradient method such as integrated_gradients."
                )
            reached = reached or getattr(node, "variable", None) is self._leaf
            for following, _ in node.next_functions:
                if (fold := getattr(following, "fold", None)) is not None:
                    of_norm = getattr(node, "norm_of", None) is fold
                    fold.normed, fold.others = fold.normed or of_norm, fold.others + (not of_norm)
                todo.append(following)
        if not reached:
            where = "the picture" if self._traced is None else repr(self._traced.layer.name)
            raise LayerError(
                f"no relevance can come from the score of {kind} to {where}: the score does not depend on it, or only "
                "through a softmax, whose output is held constant. Explain the logits."
            )


_OURS = tuple(function._backward_cls for function in (Affine, Weighted, Passed, Unruled))  # type: ignore[attr-defined]
_CUSTOM = torch.autograd.function.BackwardCFunction
