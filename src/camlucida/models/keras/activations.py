"""Keras operations that are one of PyTorch's modules exactly: activations, and layers without effect in inference.

Running these in PyTorch lets methods with a rule of their own for ReLUs apply it, and a softmax at the end of the
network be recognised, whatever the backend.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch import nn

_FUNCTIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "softmax": lambda: nn.Softmax(-1),
    "log_softmax": lambda: nn.LogSoftmax(-1),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_silu": nn.Hardswish,
    "mish": nn.Mish,
}
"""Module of each function of `keras.activations`, with the function's default arguments."""

_OPERATIONS = ("Relu", "Relu6", "Sigmoid", "Tanh", "Silu", "Selu", "Softplus", "HardSigmoid", "HardSilu")
"""Operations of `keras.ops` without settings."""

_SNAKE = {"HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu"}

INFERENCE_IDENTITIES = (
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "GaussianNoise"),
    *("AlphaDropout", "ActivityRegularization"),
)
"""Keras layers that return their input in inference."""


def activation_module(keras: ModuleType, function: Any) -> nn.Module | None:
    """Return the module of an activation function; None if it has none."""
    for name, make in _FUNCTIONS.items():
        if function is getattr(keras.activations, name, None):
            return make()
    return None


def is_linear(keras: ModuleType, function: Any) -> bool:
    """Return whether an activation function returns its input."""
    return function is None or function is keras.activations.linear


def native_module(keras: ModuleType, operation: Any) -> nn.Module | None:
    """Return the module that computes a Keras layer or operation exactly; None if it has to run in Keras."""
    kind = type(operation)
    name = kind.__name__
    if kind.__module__.startswith("keras.src.ops."):
        return _of_operation(keras, operation, name)
    if not kind.__module__.startswith("keras.src.layers."):
        return None
    if name in INFERENCE_IDENTITIES:
        return nn.Identity()
    if name == "Activation":
        linear = is_linear(keras, operation.activation)
        return nn.Identity() if linear else activation_module(keras, operation.activation)
    if name == "ReLU":
        return _relu(operation)
    if name == "LeakyReLU":
        return nn.LeakyReLU(float(operation.negative_slope))
    if name == "ELU" and isinstance(operation.alpha, int | float):
        return nn.ELU(float(operation.alpha))
    if name == "Softmax" and isinstance(operation.axis, int):
        return nn.Softmax(operation.axis)
    return None


def _relu(layer: Any) -> nn.Module | None:
    if layer.threshold != 0:
        return None
    if layer.negative_slope == 0:
        if layer.max_value is None:
            return nn.ReLU()
        return nn.ReLU6() if layer.max_value == 6 else nn.Hardtanh(0.0, float(layer.max_value))
    return nn.LeakyReLU(float(layer.negative_slope)) if layer.max_value is None else None


def _of_operation(keras: ModuleType, operation: Any, name: str) -> nn.Module | None:
    if name in _OPERATIONS:
        return activation_module(keras, getattr(keras.activations, _SNAKE.get(name, name.lower()), None))
    if name in ("Softmax", "LogSoftmax") and isinstance(getattr(operation, "axis", None), int):
        return nn.Softmax(operation.axis) if name == "Softmax" else nn.LogSoftmax(operation.axis)
    if name == "Clip":
        low, high = getattr(operation, "x_min", None), getattr(operation, "x_max", None)
        if isinstance(low, int | float) and isinstance(high, int | float) and low < high:
            return nn.Hardtanh(float(low), float(high))
    return None
