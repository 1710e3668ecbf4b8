"""Classes of torch functions, for modes that intercept every call: elementwise, products, quotients, composites.

A `TorchFunctionMode` intercepts `F.multi_head_attention_forward`, but none of the calls inside it. Functions that are
written in Python are therefore decomposed, and fused attention is computed step by step.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Function: TypeAlias = Callable[..., Any]

_NAMESPACES = (torch, Tensor, F, torch._C._nn, torch.special, torch.linalg)


def functions_named(*names: str) -> frozenset[Function]:
    """Return all functions and methods of these names, including the in-place variants."""
    all_names = [name + end for name in names for end in ("", "_")]
    return frozenset(
        getattr(home, name) for name in all_names for home in _NAMESPACES if callable(getattr(home, name, None))
    )


HOMOGENEOUS = functions_named("relu", "leaky_relu", "abs", "prelu", "rrelu")
"""Elementwise functions with f(x) = f'(x) x."""
ELEMENTWISE = HOMOGENEOUS | functions_named(
    *("relu6", "hardtanh", "clamp", "clip", "clamp_min", "clamp_max", "threshold", "hardshrink", "softshrink"),
    *("sigmoid", "hardsigmoid", "logsigmoid", "tanh", "tanhshrink", "softplus", "softsign", "expit"),
    *("gelu", "silu", "mish", "hardswish", "elu", "celu", "selu", "log_sigmoid"),
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "square", "reciprocal"),
    *("pow", "__pow__", "__ipow__", "sin", "cos", "tan", "sinh", "cosh", "atan", "arctan", "erf", "sinc", "logit"),
)
"""Functions whose output depends elementwise on the first argument; the others are parameters."""
PRODUCTS = functions_named(
    *("mul", "multiply", "__mul__", "__rmul__", "__imul__", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm"),
    *("einsum", "linear", "conv1d", "conv2d", "conv3d", "dot", "mv", "inner", "outer"),
)
"""Functions that are linear in each of the tensors, and nonlinear where two of them depend on the input."""
PRODUCTS_AND_SUMS = functions_named("addmm", "addbmm", "baddbmm", "addmv", "addcmul")
"""Functions that compute a product plus one more tensor."""
QUOTIENTS = functions_named("div", "divide", "true_divide", "__truediv__", "__itruediv__")
SELECTIONS = functions_named(
    *("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("amax", "max", "maximum"),
)
"""Functions that return the largest of their inputs."""
SOFTMAXES = functions_named("softmax") - {F.softmax}
LOG_SOFTMAXES = functions_named("log_softmax") - {F.log_softmax}
ATTENTION = frozenset([F.scaled_dot_product_attention])

_OVERRIDE_CHECKS = {"has_torch_function", "has_torch_function_unary", "has_torch_function_variadic"}


class FunctionMode(TorchFunctionMode):
    """Intercepts function calls on tensors that depend on the input, also inside torch's own Python functions.

    A tensor depends on the input if it requires a gradient, since the parameters of a network copy require none.

    Attributes:
        replacements: Functions that are called in place of others, with this mode active.
    """

    replacements: Mapping[Function, Function] = {}

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if not torch.is_grad_enabled() or not any(map(depends_on_input, _flatten((*args, *kwargs.values())))):
            return func(*args, **kwargs)
        implementation = self.replacements.get(func) or (None if self.has_rule(func) else without_override_checks(func))
        if implementation is None:
            return self.call(func, tuple(args), kwargs)
        mode: AbstractContextManager[Any] = self
        with mode:
            return implementation(*args, **kwargs)

    def has_rule(self, func: Function) -> bool:
        """Return whether `call` handles the function, so that it is not decomposed."""
        raise NotImplementedError

    def call(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function, whose arguments depend on the input."""
        raise NotImplementedError


def depends_on_input(value: Any) -> bool:
    """Return whether a value is a tensor that depends on the input."""
    return isinstance(value, Tensor) and value.requires_grad


def _flatten(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flatten(value)
        else:
            yield value


@functools.cache
def without_override_checks(func: Function) -> Function | None:
    """Return a copy of a torch function written in Python that a mode can see inside of.

    The copy does not call the active modes for the function itself. None for other functions.
    """
    code = getattr(func, "__code__", None)
    if not isinstance(func, types.FunctionType) or code is None or not _OVERRIDE_CHECKS & set(code.co_names):
        return None
    if "super" in code.co_names:  # calls a C function of the same name, which would be decomposed again
        return None
    globals_ = {**func.__globals__, **dict.fromkeys(_OVERRIDE_CHECKS, lambda *_: False)}
    copied = types.FunctionType(code, globals_, func.__name__, func.__defaults__, func.__closure__)
    copied.__kwdefaults__ = func.__kwdefaults__
    return copied


def writes_in_place(func: Function, kwargs: Mapping[str, Any]) -> bool:
    """Return whether the call modifies its first argument."""
    name = func.__name__
    is_in_place = name.endswith("_") and not name.endswith("__")
    return (
        is_in_place
        or bool(kwargs.get("inplace"))
        or name in ("__imul__", "__itruediv__", "__ipow__", "__iadd__", "__isub__")
    )


def explicit_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute `F.scaled_dot_product_attention` as in its documentation, without dropout."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill(~attn_mask, -torch.inf)
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.mT
    return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ value
