"""Layer-wise relevance propagation: which rule applies to which function (`rules.py` implements the rules).

A `TorchFunctionMode` intercepts every function of the running thread, whether a module or the network's own code calls
it. Outputs are unchanged; only the backward pass differs. No module is replaced, and other threads are not affected. A
function without a rule may run, but relevance that reaches it raises a `MethodError`.

    linear, conv                          the selected rule; a batch norm after it is folded into the layer
    activations, products with constants  all relevance goes to the input
    sums, means, average pooling, norms   in proportion; the standard deviation of a norm is constant
    products                              a gate (squeeze-excitation, GLU) is constant; two equal factors get half each
    softmax                               constant: through attention relevance reaches the values alone
    max pooling, shapes, indices          as gradients: to the maximum, to the original position
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
from camlucida.foreign import OutsideTorch, refuse_outside

RULES: dict[str, tuple[LrpRule, LrpRule, LrpRule]] = {
    "composite": ("flat", "z_plus", "epsilon"),
    "epsilon": ("epsilon", "epsilon", "epsilon"),
    "gamma": ("gamma", "gamma", "gamma"),
    "z_plus": ("z_plus", "z_plus", "z_plus"),
}
"""The rules for the first layer, for convolutions and for dense layers, by the name of the composite."""


@dataclass(frozen=True)
class RelevanceRule:
    """A named rule with its parameters.

    Attributes:
        name: A key of `RULES`.
        epsilon: Stabiliser of the epsilon rule, at least 0, in units of the layers' outputs.
        gamma: Weight of the positive contributions in the gamma rule, at least 0.

    Raises:
        MethodError: If the name is unknown or a parameter is out of range.
    """

    name: str = "composite"
    epsilon: float = 1e-6
    gamma: float = 0.25

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise MethodError(f"no rule {self.name!r}.{nearest(str(self.name), RULES)} Known: {', '.join(RULES)}.")
        if not (0 <= self.epsilon < float("inf") and 0 <= self.gamma < float("inf")):
            raise MethodError(
                f"epsilon and gamma must be finite numbers of at least 0, not {self.epsilon!r} and {self.gamma!r}."
            )


class RelevanceMode(TorchFunctionMode):
    """Gives functions the backward pass of LRP inside the context. The backward pass itself runs outside of it.

    Args:
        rule: The rule.
        image: The network's input, by which the first layer is recognised; None where the graph begins at a layer.
    """

    def __init__(self, rule: RelevanceRule, image: Tensor | None) -> None:
        super().__init__()
        self.rule = rule
        self.at_first, self.at_conv, self.at_dense = RULES[rule.name]
        self._marks = WeakTensorKeyDictionary()
        if image is not None:
            self._marks[image] = frozenset({"raw"})

    def outside_torch(self, call: OutsideTorch) -> None:
        """Refuse a layer through which this mode cannot propagate relevance."""
        refuse_outside(call, "layer-wise relevance propagation", in_any_case=True)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        # In half precision small contributions would underflow: such networks run with float32 weights.
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
        return target.copy_(out)  # the network may read the modified tensor

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
        """Return how many of the factors relevance may reach."""
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
        # The weights of a transposed convolution have another axis order: a norm after it is not folded.
        fold = None if call.name.startswith("conv_transpose") else BatchNormFold()
        rule = self.rule

        def op(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            out: Tensor = func(x, w, b, **arguments)
            return out

        output: Tensor = WeightedRule.apply(op, weight, bias, lrp_rule, rule.epsilon, rule.gamma, fold, x)
        return output

    def _product(self, call: OpCall) -> Any:
        """Apply a product or quotient.

        All relevance passes to a factor whose other factor is constant, a gate, or the denominator.
        """
        first, second = (*call.args, *(call.kwargs[k] for k in ("input", "other") if k in call.kwargs))[:2]
        if len(call.live) == 1:
            return self._mark(PassThrough.apply(call.as_function(), *call.live), *call.live)
        constant = second if call.name == "div" else self._gate(first, second)
        call = call if constant is None else call.with_constants(constant)
        return PassThrough.apply(call.as_function(), *call.live)

    def _gate(self, a: Tensor, b: Tensor) -> Tensor | None:
        """Return the factor that gates the other one: the output of a gate, otherwise the one with fewer values."""
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
        """Apply multi-head attention: PyTorch's weights held constant, the values with their two dense layers."""
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
        """Mark an output with the marks that all its inputs have: the raw input, a gate."""
        marks = frozenset.intersection(*(self._marks_of(t) for t in live))
        if marks := marks | {"gate"} if gate else marks:
            for _, tensor in nested.tensors(out):
                self._marks[tensor] = marks
        return out
