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

from camlucida.engine import nested
from camlucida.engine.backward.lrp.norms import NORMS, find_fold
from camlucida.engine.backward.lrp.op_call import OpCall, full_name, short_name
from camlucida.engine.backward.lrp.op_types import (
    AFFINE,
    BILINEAR,
    CANONICAL_NAMES,
    ELEMENTWISE,
    GATES,
    IN_PLACE,
    ROUTING,
    WEIGHTED,
)
from camlucida.engine.backward.lrp.rules import AffineRule, BatchNormFold, LrpRule, NoRule, PassThrough, WeightedRule
from camlucida.engine.trace import at_least_float32
from camlucida.errors import MethodError, nearest

RULES: dict[str, tuple[LrpRule, LrpRule, LrpRule]] = {
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

    def __init__(self, rule: RelevanceRule, image: Tensor | None) -> None:
        super().__init__()
        self.rule = rule
        self.at_first, self.at_conv, self.at_dense = RULES[rule.name]
        self._marks = WeakTensorKeyDictionary()
        if image is not None:
            self._marks[image] = frozenset({"raw"})

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        # In half precision small shares would vanish: such networks run with their weights in float32.
        args, kwargs = nested.transform((tuple(args), dict(kwargs or {})), lambda _, t: at_least_float32(t))
        live = {id(t): t for _, t in nested.tensors((args, kwargs)) if t.requires_grad}
        if not live or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        name = short_name(func)
        in_place = bool(kwargs.get("inplace")) or name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))
        canonical = CANONICAL_NAMES.get(name, name if name.endswith("__") else name.rstrip("_"))
        if canonical in ROUTING:
            return self._mark(func(*args, **kwargs), *live.values())
        kwargs = {**kwargs, "inplace": False} if "inplace" in kwargs else kwargs
        out = self._apply_rule(OpCall(func, canonical, args, kwargs, tuple(live.values()), in_place))
        if not in_place or not isinstance(out, Tensor):
            return out
        target: Tensor = args[0] if args else kwargs["input"]
        return target.copy_(out)  # what is written to may be read by its old name

    def _apply_rule(self, call: OpCall) -> Any:
        if (
            call.name in WEIGHTED
            and self._factors(call, 0) == 1
            and call.live[0] is call.named_arguments(("input",))["input"]
        ):
            return self._weighted(call)
        if call.name in ELEMENTWISE and len(call.live) == 1:
            return self._mark(PassThrough.apply(call.as_function(), *call.live), *call.live, gate=call.name in GATES)
        if call.name in ("mul", "div"):
            return self._product(call)
        if call.name in AFFINE:
            return self._mark(self._affine(call, call.as_function()), *call.live)
        if call.name in BILINEAR and self._factors(call, BILINEAR[call.name]) <= 1:
            return self._affine(call, call.as_function())
        if call.name == "softmax":
            return call.with_constants(*call.live).as_function()()
        if call.name == "scaled_dot_product_attention":
            return self._attention(call)
        if call.name == "multi_head_attention_forward":
            return self._multi_head(call)
        if call.func in NORMS and len(call.live) == 1:
            return self._mark(self._affine(call, NORMS[call.func](call), *find_fold(call)), *call.live)
        return self._without_rule(call)

    def _factors(self, call: OpCall, first: int) -> int:
        """How many of the factors relevance may reach."""
        parts = (call.args[first:], call.kwargs)
        return sum(t.requires_grad for _, t in nested.tensors(parts))

    def _affine(self, call: OpCall, linear_part: Callable[..., Tensor], fold: BatchNormFold | None = None) -> Tensor:
        out: Tensor = AffineRule.apply(call.as_function(), linear_part, self.rule.epsilon, fold, *call.live)
        return out

    def _weighted(self, call: OpCall) -> Tensor:
        arguments = call.named_arguments(WEIGHTED[call.name])
        x, weight, bias = arguments.pop("input"), arguments.pop("weight"), arguments.pop("bias", None)
        func, dense = call.func, call.name == "linear"
        lrp_rule = self.at_dense if dense else self.at_conv
        if "raw" in self._marks_of(x):
            lrp_rule = self.at_first
        # A transposed convolution's weights have their outputs second: a norm after it stays a layer of its own.
        fold = None if call.name.startswith("conv_transpose") else BatchNormFold()
        rule = self.rule

        def op(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            out: Tensor = func(x, w, b, **arguments)
            return out

        output: Tensor = WeightedRule.apply(op, weight, bias, lrp_rule, rule.epsilon, rule.gamma, fold, x)
        return output

    def _product(self, call: OpCall) -> Any:
        """Times or over a constant all passes, and where one factor is a gate, or the lower part of a fraction."""
        first, second = (*call.args, *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs))[:2]
        if len(call.live) == 1:
            return self._mark(PassThrough.apply(call.as_function(), *call.live), *call.live)
        constant = second if call.name == "div" else self._gate(first, second)
        call = call if constant is None else call.with_constants(constant)
        return PassThrough.apply(call.as_function(), *call.live)

    def _gate(self, a: Tensor, b: Tensor) -> Tensor | None:
        """Which of two factors only lets the other through: what came out of a gate, else what has fewer values."""
        gates = ["gate" in self._marks_of(t) for t in (a, b)]
        if gates[0] != gates[1]:
            return a if gates[0] else b
        if a.numel() != b.numel():
            return a if a.numel() < b.numel() else b
        return None

    def _attention(self, call: OpCall) -> Any:
        named = call.named_arguments(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"))
        value = named.pop("value")
        named = nested.transform(named, lambda _, t: t.detach())
        arguments = (named.pop("query"), named.pop("key"), value)
        constant_call = OpCall(
            call.func, call.name, arguments, named, (value,) if value.requires_grad else (), call.in_place
        )
        return (
            self._affine(constant_call, constant_call.as_function())
            if constant_call.live
            else constant_call.as_function()()
        )

    def _multi_head(self, call: OpCall) -> Any:
        """The weights of attention as PyTorch finds them, held constant; the values with their two dense layers."""
        names = F.multi_head_attention_forward.__code__.co_varnames
        arguments = call.named_arguments(names)
        query, value = arguments["query"], arguments["value"]
        separate, has_bias_k = arguments.get("use_separate_proj_weight"), arguments.get("bias_k") is not None
        if query.ndim != 3 or has_bias_k or arguments.get("add_zero_attn") or not value.requires_grad:
            return self._without_rule(call)
        detached = {**arguments, "need_weights": True, "average_attn_weights": False}
        detached = nested.transform(detached, lambda _, t: t.detach())
        weights: Any = F.multi_head_attention_forward(**detached)[1]  # (b, heads, queries, keys)
        packed, bias = arguments["in_proj_weight"], arguments["in_proj_bias"]
        with self:
            projected = F.linear(
                value,
                arguments["v_proj_weight"] if separate else packed.chunk(3)[2],
                None if bias is None else bias.chunk(3)[2],
            )
            heads = projected.reshape(*projected.shape[:2], arguments["num_heads"], -1).permute(1, 2, 0, 3)
            merged = torch.matmul(weights, heads).permute(2, 0, 1, 3).flatten(2)
            out = F.linear(merged, arguments["out_proj_weight"], arguments["out_proj_bias"])
        if not arguments.get("need_weights", True):
            return out, None
        return out, weights.mean(1) if arguments.get("average_attn_weights", True) else weights

    def _without_rule(self, call: OpCall) -> Any:
        out = call.func(*call.args, **call.kwargs)
        name = full_name(call.func)
        return nested.transform(out, lambda _, t: NoRule.apply(name, t.detach(), *call.live) if t.requires_grad else t)

    def _marks_of(self, tensor: Tensor) -> frozenset[str]:
        marks: frozenset[str] = self._marks.get(tensor, frozenset())  # type: ignore[no-untyped-call]
        return marks

    def _mark(self, out: Any, *live: Tensor, gate: bool = False) -> Any:
        """What all it was made of are (the raw picture, a gate), it is."""
        marks = frozenset.intersection(*(self._marks_of(t) for t in live))
        if marks := marks | {"gate"} if gate else marks:
            for _, tensor in nested.tensors(out):
                self._marks[tensor] = marks
        return out
