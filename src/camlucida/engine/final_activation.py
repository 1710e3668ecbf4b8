"""The last activation of a network, such as a softmax, and the tensor before it.

Many classifiers return probabilities. Their pre-activation scores are what the methods' papers explain, and applying a
softmax again to probabilities would show 0.4 for 1.0. The activation is recognised by its values, not by a module's
class: every small activation of a run is remembered, and a tensor of the output that is the result of one of
them carries the input of that one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from camlucida.engine import nested
from camlucida.engine.backward.function_mode import Function, functions_named, writes_in_place

ActivationName: TypeAlias = Literal["softmax", "log_softmax", "sigmoid", "log_sigmoid", "hardsigmoid", "tanh"]

_NAMES: dict[Function, ActivationName] = {
    **dict.fromkeys(functions_named("softmax"), "softmax"),
    **dict.fromkeys(functions_named("log_softmax"), "log_softmax"),
    **dict.fromkeys(functions_named("sigmoid", "expit"), "sigmoid"),
    **dict.fromkeys(functions_named("log_sigmoid", "logsigmoid"), "log_sigmoid"),
    **dict.fromkeys(functions_named("hardsigmoid"), "hardsigmoid"),
    **dict.fromkeys(functions_named("tanh"), "tanh"),
}
_ATTRIBUTE = "_camlucida_final_activation"


@dataclass(frozen=True)
class FinalActivation:
    """An activation whose result the network returns.

    Attributes:
        name: Name of the function.
        inputs: Its input, with the shape of the returned tensor; part of the same graph.
    """

    name: ActivationName
    inputs: Tensor


@dataclass(frozen=True)
class _Call:
    name: ActivationName
    inputs: Tensor
    result: Tensor


@dataclass
class ActivationRecorder(TorchFunctionMode):
    """Remembers every softmax, sigmoid and the like with one number per image and class, in the block.

    Attributes:
        calls: The calls, in order. Their tensors are small: `(b, k)`, `(b,)` or `(b, k, 1, 1)`.
    """

    calls: list[_Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = _NAMES.get(func)
        if name is None:
            return func(*args, **kwargs)
        inputs = args[0] if args else kwargs.get("input")
        if isinstance(inputs, Tensor) and _is_small(inputs) and writes_in_place(func, kwargs):
            inputs = inputs.clone()  # the result replaces the input
        result = func(*args, **kwargs)
        if isinstance(inputs, Tensor) and isinstance(result, Tensor) and _is_small(result):
            self.calls.append(_Call(name, inputs, result))
        return result

    def attach(self, output: Any) -> bool:
        """Let every tensor of a network's output carry the activation that it is the result of.

        Returns:
            Whether there is one.
        """
        found = False
        for _, tensor in nested.tensors(output):
            call = next((call for call in reversed(self.calls) if _is_result(tensor, call)), None)
            if call is not None:
                setattr(tensor, _ATTRIBUTE, FinalActivation(call.name, call.inputs.reshape(tensor.shape)))
                found = True
        return found


def final_activation(tensor: Tensor) -> FinalActivation | None:
    """Return the activation whose result a tensor of the network's output is, if it was remembered in that run."""
    carried: FinalActivation | None = getattr(tensor, _ATTRIBUTE, None)
    return carried


def apply_activation(name: ActivationName, scores: Tensor) -> Tensor:
    """Return an activation of class scores `(b, k)`, over the classes."""
    return _FUNCTIONS[name](scores)


_FUNCTIONS: dict[ActivationName, Callable[[Tensor], Tensor]] = {
    "softmax": lambda scores: scores.softmax(-1),
    "log_softmax": lambda scores: scores.log_softmax(-1),
    "sigmoid": torch.sigmoid,
    "log_sigmoid": F.logsigmoid,
    "hardsigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
}


def invert_activation(name: ActivationName, values: Tensor) -> Tensor:
    """Return scores `(b, k)` whose softmax, sigmoid or logarithm of them are the given values.

    Those of a softmax are determined up to a constant per row.
    """
    if name == "log_softmax":
        return values
    tiny = torch.finfo(values.dtype).tiny
    if name == "softmax":
        return values.clamp_min(tiny).log()
    probabilities = values.exp() if name == "log_sigmoid" else values
    return probabilities.clamp_min(tiny).log() - (1 - probabilities).clamp_min(tiny).log()


def _is_small(tensor: Tensor) -> bool:
    """Return whether a tensor holds one number per image and class: `(b,)`, `(b, k)` or `(b, k, 1, 1)`."""
    return tensor.is_floating_point() and tensor.ndim > 0 and all(size == 1 for size in tensor.shape[2:])


def _is_result(tensor: Tensor, call: _Call) -> bool:
    """Return whether a tensor is the result of a call: the same memory, or the same values."""
    result = call.result
    if tensor.numel() != result.numel() or not tensor.numel() or call.inputs.numel() != result.numel():
        return False
    if not tensor.is_floating_point() or tensor.device != result.device or tensor.is_meta:
        return False
    if tensor.dtype == result.dtype and tensor.data_ptr() == result.data_ptr():
        return True
    with torch.no_grad():  # compared in the lower of the two precisions
        dtype = min(tensor.dtype, result.dtype, key=lambda one: torch.finfo(one).bits)
        return torch.equal(tensor.reshape(-1).to(dtype), result.reshape(-1).to(dtype))
