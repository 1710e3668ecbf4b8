"""A Keras model as a PyTorch module: its layers under their names, on the model's own weights, in inference mode."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.foreign import SharedReference
from camlucida.models.keras.backends import backend_name, is_keras_layer, need_keras
from camlucida.models.keras.build import Builder, KerasGraph, graph_of_model, in_order
from camlucida.models.keras.graph import Graph, preserved_names
from camlucida.models.keras.layers import named_variables, refresh_weights
from camlucida.models.keras.shells import all_layers
from camlucida.models.keras.subclassed import graph_of_subclassed
from camlucida.models.keras.verify import verify

UNREAD = frozenset(["training", "built", "name", "supports_jit", "compiled", "stop_training", "loss", "autocast"])
"""Attributes of Keras layers that do not affect inference, or cannot change."""


@dataclass
class _State:
    """What connects a network with its Keras model, which it does not keep alive.

    Copies of the network share it; only its owner follows the Keras model.
    """

    model: weakref.ref[Any]
    layers: list[Any]
    signature: list[Any]
    backend: str
    names: dict[int, str]
    owner: weakref.ref[Any]


class KerasNetwork(KerasGraph):
    """A Keras model as a PyTorch module on the model's own weights, for network inputs `(b, c, *grid)`.

    Its modules have the names of the Keras layers: `conv5_block3_out`, and `resnet50.conv5_block3_out` for a layer of a
    model that is a layer. A layer with an activation function returns its result as in Keras, and has the
    modules `pre_activation` and `activation`. The outputs of layers have the layout of Keras.

    Args:
        model: The Keras model, which has weights. It is not modified.

    Raises:
        ModelError: If the model has no weights yet, or its outputs differ from those of the Keras model.
    """

    def __init__(self, model: Any) -> None:
        nn.Module.__init__(self)
        self.camlucida_layer_hint = ""
        self._channels_last = SharedReference(())
        with preserved_names():
            self._build(model)

    def _build(self, model: Any) -> None:
        keras = need_keras("a Keras model")
        backend = backend_name(keras, f"the Keras model {model.name!r}")
        if not model.built:
            raise ModelError(
                f"the Keras model {model.name!r} has no weights yet: give it an input shape, or call it once on a "
                "batch of images."
            )
        self._modules.clear()
        hint = ""
        graph = graph_of_model(keras, model)
        if graph is None:
            graph, hint = graph_of_subclassed(keras, model)
        axes = tuple(_channels_last(keras, model, name, shape) for name, shape, _ in graph.inputs)
        builder = Builder(keras, backend, any(axes))
        self._plan = SharedReference(builder.fill(self, graph))
        self.camlucida_layer_hint = hint
        self._channels_last = SharedReference(axes)
        layers = [layer for layer in all_layers(model) if layer is not model]
        made = {id(module): name for name, module in self.named_modules(remove_duplicate=False)}
        names = {number: made[id(module)] for number, module in builder._made.items() if id(module) in made}
        self._state = SharedReference(
            _State(weakref.ref(model), layers, _signature(model, layers), backend, names, weakref.ref(self))
        )
        self.eval()
        verify(keras, self, model, graph, axes, backend)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output of the Keras model for network inputs `(b, c, *grid)`."""
        graph: Graph = self._plan.value.graph
        inputs = in_order(graph, args, kwargs)
        if len(inputs) != len(graph.inputs):
            names = ", ".join(name for name, _, _ in graph.inputs)
            raise ModelError(f"the Keras model takes {len(graph.inputs)} inputs ({names}), not {len(inputs)}.")
        axes: tuple[bool, ...] = self._channels_last.value
        return self._run(
            [_as_input(value, spec, last) for value, spec, last in zip(inputs, graph.inputs, axes, strict=True)]
        )

    def has_image_input(self) -> bool:
        """Return whether one of the inputs is an image."""
        graph: Graph = self._plan.value.graph
        return any(len(shape) == 3 for _, shape, _ in graph.inputs)

    def image_input(self) -> tuple[tuple[int | None, ...], bool]:
        """Return the shape of the first image among the inputs, and whether its channels are last."""
        graph: Graph = self._plan.value.graph
        axes: tuple[bool, ...] = self._channels_last.value
        return next((s, last) for (_, s, _), last in zip(graph.inputs, axes, strict=True) if len(s) == 3)

    def camlucida_refresh(self) -> None:
        """Take over changes of the Keras model: other weights on TensorFlow, other layers or settings."""
        state: _State = self._state.value
        if state.owner() is not self:  # a copy, whose weights may have been re-initialised
            return
        model = state.model()
        if model is not None:
            layers = [layer for layer in all_layers(model) if layer is not model]
            if _signature(model, layers) != state.signature:
                with preserved_names():
                    self._build(model)
                return
        refresh_weights(self, state.backend)

    def camlucida_layer_name(self, layer: Any) -> str | None:
        """Return the name of the module of a Keras layer of this model."""
        return self._state.value.names.get(id(layer)) if is_keras_layer(layer) else None

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Refuse to move the weights, which are those of the Keras model."""
        for parameter in self.parameters():
            moved = fn(parameter.detach()[:0] if parameter.ndim else parameter.detach())
            if moved.device != parameter.device or moved.dtype != parameter.dtype:
                raise ModelError(
                    f"the weights of a Keras model stay where Keras put them ({parameter.device}, {parameter.dtype}): "
                    f"{moved.device}, {moved.dtype} was requested. Use device='auto', and choose the device in Keras."
                )
            break
        return self


def _as_input(value: Any, spec: tuple[str, tuple[int | None, ...], str], channels_last: bool) -> Any:
    """Return one network input in the layout and type of the Keras model."""
    name, shape, dtype = spec
    if not isinstance(value, Tensor):
        return value
    if channels_last and value.ndim >= 4:
        value = value.movedim(1, -1)
    given = tuple(value.shape[1:])
    if len(given) != len(shape) or any(
        want is not None and want != size for want, size in zip(shape, given, strict=False)
    ):
        want = " × ".join("any" if side is None else str(side) for side in shape)
        got = " × ".join(map(str, given))
        raise ModelError(f"the Keras model takes inputs of {want} ({name}), not {got}.")
    wanted = getattr(torch, dtype, None)
    return value.to(wanted) if isinstance(wanted, torch.dtype) else value


def _channels_last(keras: ModuleType, model: Any, name: str, shape: tuple[int | None, ...]) -> bool:
    """Return whether an input of the model is (b, *grid, c): what its first layer with a data format says.

    Without such a layer, the axis with 1, 3 or 4 channels is the one; else Keras's own setting decides.
    """
    if len(shape) not in (3, 4):
        return False
    for layer in all_layers(model):
        if getattr(layer, "data_format", None) in ("channels_last", "channels_first"):
            return bool(layer.data_format == "channels_last")
    first, last = shape[0] in (1, 3, 4), shape[-1] in (1, 3, 4)
    if first != last:
        return last
    return bool(keras.config.image_data_format() == "channels_last")


def _signature(model: Any, layers: list[Any]) -> list[Any]:
    """Return what determines a model's inference besides its weights: its layers, their settings, their variables."""
    signature: list[Any] = [*map(id, layers)]
    for layer in layers:
        signature.append([id(variable) for _, variable in named_variables(layer)])
        for name, value in vars(layer).items():
            if name.startswith("_") or name in UNREAD:
                continue
            if isinstance(value, bool | int | float | str | None):
                signature.append((name, value))
            elif isinstance(value, tuple):
                signature.append((name, repr(value)))
            elif callable(value) and not hasattr(value, "__self__"):
                signature.append((name, id(value)))
    return signature


_networks: weakref.WeakKeyDictionary[Any, KerasNetwork] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def keras_network(model: Any) -> KerasNetwork:
    """Return the module of a Keras model, which is cached for as long as the model exists.

    Args:
        model: The Keras model.

    Raises:
        ModelError: If the model cannot be represented.
    """
    with _lock:
        network = _networks.get(model)
        if network is None:
            name = "".join(c if c.isalnum() else "_" for c in model.name) or "KerasNetwork"
            named: Any = type(name, (KerasNetwork,), {"__module__": __name__, "__doc__": KerasNetwork.__doc__})
            network = named(model)
            _networks[model] = network
        else:
            network.camlucida_refresh()
        return network
