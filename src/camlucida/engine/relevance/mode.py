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
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from camlucida.engine import structure
from camlucida.engine.relevance.calls import Call, full_name, short_name
from camlucida.engine.relevance.functions import AFFINE, BILINEAR, ELEMENTWISE, GATES, IN_PLACE, NATURAL, SAME, WEIGHTED
from camlucida.engine.relevance.norms import NORMS, fold_of
from camlucida.engine.relevance.shares import Affine, Fold, Passed, Share, Unruled, Weighted
from camlucida.engine.trace import at_least_float32
from camlucida.errors import MethodError, nearest

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
        name = short_name(func)
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
        if call.name in AFFINE:
            return self._marked(self._affine(call, call.function()), *call.live)
        if call.name in BILINEAR and self._factors(call, BILINEAR[call.name]) <= 1:
            return self._affine(call, call.function())
        if call.name == "softmax":
            return call.holding(*call.live).function()()
        if call.name == "scaled_dot_product_attention":
            return self._attention(call)
        if call.name == "multi_head_attention_forward":
            return self._multi_head(call)
        if call.func in NORMS and len(call.live) == 1:
            return self._marked(self._affine(call, NORMS[call.func](call), *fold_of(call)), *call.live)
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
        if "raw" in self._marked_as(x):
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
        """Times or over a constant all passes, and where one factor is a gate, or the lower part of a fraction."""
        first, second = (*call.args, *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs))[:2]
        if len(call.live) == 1:
            return self._marked(Passed.apply(call.function(), *call.live), *call.live)
        held = second if call.name == "div" else self._gate(first, second)
        call = call if held is None else call.holding(held)
        return Passed.apply(call.function(), *call.live)

    def _gate(self, a: Tensor, b: Tensor) -> Tensor | None:
        """Which of two factors only lets the other through: what came out of a gate, else what has fewer values."""
        gates = ["gate" in self._marked_as(t) for t in (a, b)]
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
        weights: Any = F.multi_head_attention_forward(**whole)[1]  # (b, heads, queries, keys)
        packed, bias = given["in_proj_weight"], given["in_proj_bias"]
        with self:
            projected = F.linear(
                value,
                given["v_proj_weight"] if apart else packed.chunk(3)[2],
                None if bias is None else bias.chunk(3)[2],
            )
            heads = projected.reshape(*projected.shape[:2], given["num_heads"], -1).permute(1, 2, 0, 3)
            joined = torch.matmul(weights, heads).permute(2, 0, 1, 3).flatten(2)
            out = F.linear(joined, given["out_proj_weight"], given["out_proj_bias"])
        if not given.get("need_weights", True):
            return out, None
        return out, weights.mean(1) if given.get("average_attn_weights", True) else weights

    def _unruled(self, call: Call) -> Any:
        out = call.func(*call.args, **call.kwargs)
        name = full_name(call.func)
        return structure.transform(
            out, lambda _, t: Unruled.apply(name, t.detach(), *call.live) if t.requires_grad else t
        )

    def _marked_as(self, tensor: Tensor) -> frozenset[str]:
        found: frozenset[str] = self._marks.get(tensor, frozenset())  # type: ignore[no-untyped-call]
        return found

    def _marked(self, out: Any, *live: Tensor, gate: bool = False) -> Any:
        """What all it was made of are (the raw picture, a gate), it is."""
        marks = frozenset.intersection(*(self._marked_as(t) for t in live))
        if marks := marks | {"gate"} if gate else marks:
            for _, tensor in structure.tensors(out):
                self._marks[tensor] = marks
        return out
