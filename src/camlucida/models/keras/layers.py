"""Keras layers as PyTorch modules around the same weights, in inference mode."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.foreign import OutsideTorch, SharedReference, announce
from camlucida.models.keras.activations import activation_module, is_linear
from camlucida.models.keras.graph import accepts_training
from camlucida.models.keras.shells import shell_of
from camlucida.models.keras.tensorflow import call_with_tape, snapshot, to_tensorflow

CONSTANTS = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0, "bias": 0.0}
"""Initial values of the weights of Keras's layers that do not start at random."""


class LayerCall:
    """Calls one Keras layer or operation on given weights; it holds a shell of the layer, never the user's own.

    Args:
        keras: The module.
        operation: The layer or operation.
        backend: "torch" or "tensorflow".
    """

    def __init__(self, keras: ModuleType, operation: Any, backend: str) -> None:
        self.keras = keras
        self.operation = shell_of(operation) if isinstance(operation, keras.layers.Layer) else operation
        self.backend = backend
        self.named = named_variables(operation)
        self.variables = [variable for _, variable in self.named]
        self.outside = OutsideTorch(
            operation.name, backend, _is_affine(keras, operation), not _is_without_relu(keras, operation)
        )
        self.training = {"training": False} if accepts_training(operation) else {}

    def __call__(self, weights: Mapping[str, Tensor], args: Any, kwargs: Any) -> Any:
        """Return the output for inputs of PyTorch, in its graph."""
        values = list(weights.values())
        if torch.is_grad_enabled():
            announce(self.outside)
        if self.backend == "torch":
            return self._run(values, args, kwargs)

        def run(args: Any, kwargs: Any) -> Any:
            return self._run(list(map(to_tensorflow, values)), args, kwargs)

        return call_with_tape(run, args, kwargs, self.operation.name)

    def _run(self, values: list[Any], args: Any, kwargs: Any) -> Any:
        scope = self.keras.StatelessScope(initialize_variables=False)
        scope.state_mapping = {id(v): value for v, value in zip(self.variables, values, strict=True)}
        with scope:
            return self.operation(*args, **{**kwargs, **self.training})


AFFINE = frozenset(
    (
        *("Dense", "BatchNormalization", "Add", "Subtract", "Average", "Concatenate", "Flatten", "Reshape", "Permute"),
        *("Rescaling", "Normalization", "AveragePooling2D", "GlobalAveragePooling2D", "ZeroPadding2D", "Cropping2D"),
        *("UpSampling2D", "GetItem", "Transpose", "Mean"),
    )
)
"""Classes of Keras whose result is an affine function of the inputs, like convolutions."""


def _is_without_relu(keras: ModuleType, operation: Any) -> bool:
    """Return whether an operation is one of Keras's own and has no activation function."""
    kind = type(operation)
    return (
        kind.__module__.startswith("keras.src.")
        and kind.__name__ not in ("Lambda", "Maximum", "Where")
        and is_linear(keras, getattr(operation, "activation", None))
    )


def _is_affine(keras: ModuleType, operation: Any) -> bool:
    name = type(operation).__name__
    return _is_without_relu(keras, operation) and (name in AFFINE or ("Conv" in name and "LSTM" not in name))


def named_variables(operation: Any) -> list[tuple[str, Any]]:
    """Return the names and floating-point variables of a Keras layer; the names are relative to the layer's."""
    named: dict[str, Any] = {}
    prefix = f"{getattr(operation, 'path', '')}/"
    for variable in getattr(operation, "variables", ()):
        if not str(variable.dtype).startswith(("float", "bfloat")):
            continue  # the state of random layers, which do nothing in inference
        name = base = variable.path.removeprefix(prefix).replace("/", "_").replace(".", "_")
        number = 1
        while name in named or hasattr(nn.Module, name):
            name, number = f"{base}_{number}", number + 1
        named[name] = variable
    return list(named.items())


def parameter_of(variable: Any, backend: str) -> nn.Parameter:
    """Return the weights of a variable: on torch its own parameter, on TensorFlow a snapshot on the same memory."""
    if backend == "torch":
        own: nn.Parameter = variable.value
        return own
    return nn.Parameter(snapshot(variable), requires_grad=False)


@dataclass(frozen=True)
class Source:
    """Where the weights of a module come from.

    Attributes:
        variables: The Keras variable of each parameter.
        read: Returns the parameter from the value of the variable, on the same memory.
    """

    variables: dict[str, Any]
    read: Callable[[str, nn.Parameter], nn.Parameter] = lambda name, value: value


class KerasLayer(nn.Module):
    """One Keras layer or operation. Its subclasses have the names of Keras's classes."""

    def __init__(self, call: LayerCall, weights: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self._call = SharedReference(call)
        self._source = SharedReference(Source(dict(call.named)))
        self.camlucida_channels_last = False
        self.camlucida_is_convolution = False
        self.camlucida_is_grid_layer = False
        self.camlucida_is_merge = False
        for name, parameter in weights.items():
            self.register_parameter(name, parameter)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the Keras layer returns in inference mode."""
        call: LayerCall = self._call.value
        return call(self._parameters, args, kwargs)  # type: ignore[arg-type]

    def reset_parameters(self) -> None:
        """Set the weights to random values, and norms to their initial state, with PyTorch's generator."""
        with torch.no_grad():
            for name, parameter in self.named_parameters(recurse=False):
                if name in CONSTANTS:
                    parameter.fill_(CONSTANTS[name])
                else:
                    parameter.normal_(float(parameter.mean()), float(parameter.std(correction=0)))


class ActivatedLayer(nn.Module):
    """A Keras layer with an activation function of its own, which runs as a module after it."""

    def __init__(self, pre_activation: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.pre_activation = pre_activation
        self.activation = activation

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the activation of what the layer returns without it."""
        return self.activation(self.pre_activation(*args, **kwargs))


class PointwiseLinear(nn.Module):
    """A 1 × 1 convolution of a grid with one cell, channels last, as a linear layer."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """Return the output `(b, 1, 1, k)` for an input `(b, 1, 1, c)`."""
        out: Tensor = self.linear(x.flatten(1))
        return out[:, None, None]


@functools.cache
def _named_class(base: type[nn.Module], name: str) -> type[nn.Module]:
    """Return a subclass that is called like the class of the Keras layer."""
    return type(name, (base,), {"__module__": __name__, "__doc__": base.__doc__})


def is_fusable(keras: ModuleType, layer: Any) -> bool:
    """Return whether a layer applies `activation` to its result, so that this can run as a module of its own."""
    kind = type(layer)
    inside = kind.__module__.startswith(("keras.src.layers.convolutional.", "keras.src.layers.core."))
    return (
        inside
        and (kind.__name__ in ("Dense", "EinsumDense") or "Conv" in kind.__name__)
        and not is_linear(keras, layer.activation)
        and activation_module(keras, layer.activation) is not None
    )


def build_layer(keras: ModuleType, layer: Any, backend: str, *, channels_last: bool, one_cell: bool) -> nn.Module:
    """Return the module of a Keras layer or operation that is no model and no activation.

    Args:
        keras: The module.
        layer: The layer or operation.
        backend: "torch" or "tensorflow".
        channels_last: Whether the network has its channels last, for layers that do not say so themselves.
        one_cell: Whether the layer is always called with a grid of one cell.
    """
    if is_fusable(keras, layer):
        linear = shell_of(layer)
        linear.__dict__["activation"] = keras.activations.linear
        inner = _without_activation(keras, linear, backend, channels_last=channels_last, one_cell=one_cell)
        activation = activation_module(keras, layer.activation)
        assert activation is not None
        module: nn.Module = _named_class(ActivatedLayer, type(layer).__name__)(inner, activation)
        for flag in ("camlucida_channels_last", "camlucida_is_convolution", "camlucida_is_grid_layer"):
            if hasattr(inner, flag):
                setattr(module, flag, getattr(inner, flag))
        if hasattr(inner, "camlucida_is_convolution"):
            inner.camlucida_is_convolution = False  # type: ignore[assignment] # listed once, with its activation
        return module
    return _without_activation(keras, layer, backend, channels_last=channels_last, one_cell=one_cell)


def _without_activation(
    keras: ModuleType, layer: Any, backend: str, *, channels_last: bool, one_cell: bool
) -> nn.Module:
    kind = type(layer)
    weights = {name: parameter_of(variable, backend) for name, variable in named_variables(layer)}
    is_plain = kind.__module__.startswith("keras.src.layers.") and not getattr(layer, "quantization_mode", None)
    if is_plain and getattr(layer, "compute_dtype", None) == "float32" and not getattr(layer, "lora_enabled", False):
        if kind.__name__ == "Dense" and is_linear(keras, layer.activation):
            return _linear(kind.__name__, layer, lambda kernel: kernel, backend)
        if one_cell and _is_pointwise(keras, layer):
            return PointwiseLinear(_linear("Linear", layer, lambda kernel: kernel[0, 0], backend))
    module: Any = _named_class(KerasLayer, kind.__name__)(LayerCall(keras, layer, backend), weights)
    data_format = getattr(layer, "data_format", None)
    module.camlucida_channels_last = channels_last if data_format is None else data_format == "channels_last"
    module.camlucida_is_convolution = (
        kind.__module__.startswith("keras.src.layers.convolutional.") and getattr(layer, "rank", 2) == 2
    )
    module.camlucida_is_merge = kind.__module__.startswith("keras.src.layers.merging.")
    module.camlucida_is_grid_layer = data_format == "channels_last" and _is_grid_class(kind)
    return module  # type: ignore[no-any-return]


def _is_grid_class(kind: type) -> bool:
    """Return whether a class of Keras is a two-dimensional convolution, pooling, padding, cropping or upsampling."""
    inside = kind.__module__.startswith(
        ("keras.src.layers.convolutional.", "keras.src.layers.pooling.", "keras.src.layers.reshaping.")
    )
    return (
        inside
        and (kind.__name__.endswith("2D") or kind.__name__ == "Conv2DTranspose")
        and "Global" not in kind.__name__
    )


def _is_pointwise(keras: ModuleType, layer: Any) -> bool:
    return (
        type(layer).__name__ == "Conv2D"
        and tuple(layer.kernel_size) == (1, 1)
        and tuple(layer.strides) == (1, 1)
        and layer.groups == 1
        and layer.data_format == "channels_last"
        and is_linear(keras, layer.activation)
    )


def _linear(name: str, layer: Any, matrix: Callable[[Tensor], Tensor], backend: str) -> nn.Linear:
    """Return a linear layer on the memory of a Keras layer's kernel, of which `matrix` is `(c, k)`, and of its bias."""

    def read(name: str, value: nn.Parameter) -> nn.Parameter:
        return nn.Parameter(matrix(value.detach()).T if name == "weight" else value.detach(), requires_grad=False)

    variables = {"weight": layer._kernel, **({} if layer.bias is None else {"bias": layer.bias})}
    linear: Any = nn.Linear.__new__(_named_class(nn.Linear, name))  # without new weights
    nn.Module.__init__(linear)
    linear.register_parameter("bias", None)
    for key, variable in variables.items():
        linear.register_parameter(key, read(key, parameter_of(variable, backend)))
    linear.out_features, linear.in_features = map(int, linear.weight.shape)
    linear._source = SharedReference(Source(variables, read))
    return linear  # type: ignore[no-any-return]


def refresh_weights(network: nn.Module, backend: str) -> None:
    """Replace the parameters of a network whose Keras variables are on other memory than before.

    On TensorFlow, every assignment and every step of an optimizer puts a variable on other memory. On torch, variables
    are modified in place, which the parameters follow.
    """
    for module in network.modules():
        source = vars(module).get("_source")
        if source is None:
            continue
        for name, variable in source.value.variables.items():
            own = module._parameters[name]
            current = source.value.read(name, parameter_of(variable, backend))
            if own is None or own.data_ptr() != current.data_ptr() or own.shape != current.shape:
                module.register_parameter(name, current)
