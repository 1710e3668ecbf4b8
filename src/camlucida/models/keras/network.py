"""A Keras model as a PyTorch module: its layers under their names, on the model's own weights, in inference mode."""

from __future__ import annotations

import math
import threading
import warnings
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.foreign import SharedReference
from camlucida.models.keras.activations import native_module
from camlucida.models.keras.backends import backend_name, is_keras_layer, need_keras
from camlucida.models.keras.graph import (
    Graph,
    Slot,
    Step,
    flatten,
    graph_of_functional,
    map_structure,
    preserved_names,
    traced_graph,
)
from camlucida.models.keras.layers import (
    ActivatedLayer,
    KerasLayer,
    build_layer,
    named_variables,
    refresh_weights,
)
from camlucida.models.keras.shells import all_layers
from camlucida.models.keras.tensorflow import from_tensorflow, to_tensorflow

TOLERANCE = 1e-4
"""Largest difference of the outputs of the module and of the Keras model, relative to the largest output."""

TOLERANCE_HALF = 3e-2
"""The same for models that compute in half precision."""

FREE_SIDES_PX = (96, 224)
"""Sides in pixels that are tried for the verification of a model without a fixed input size."""

UNREAD = frozenset(["training", "built", "name", "supports_jit", "compiled", "stop_training", "loss", "autocast"])
"""Attributes of Keras layers that do not affect inference, or cannot change."""


@dataclass(frozen=True)
class Call:
    """One call of a child module.

    Attributes:
        name: Name of the child.
        args: Positional arguments, with a `Slot` in place of every tensor.
        kwargs: Keyword arguments, likewise.
        outputs: Numbers of the tensors that it returns.
        freed: Numbers of the tensors that no later call reads.
        dtype: The type that its floating-point arguments are converted to; None where the child does it.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[int, ...]
    freed: tuple[int, ...]
    dtype: torch.dtype | None


@dataclass(frozen=True)
class Plan:
    """The calls of a module, in order."""

    graph: Graph
    calls: tuple[Call, ...]


class KerasGraph(nn.Module):
    """A Keras model inside another one, or a layer made of layers: runs its graph."""

    def __init__(self, builder: Builder, graph: Graph) -> None:
        super().__init__()
        self._plan = SharedReference(builder.fill(self, graph))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output for the inputs of the Keras model, in the Keras layout."""
        plan: Plan = self._plan.value
        return self._run(_in_order(plan.graph, args, kwargs))

    def _run(self, inputs: list[Any]) -> Any:
        plan: Plan = self._plan.value
        values: list[Any] = [None] * plan.graph.n_slots
        for slot, value in zip(plan.graph.input_slots, inputs, strict=True):
            values[slot] = value

        def fill(leaf: Any) -> Any:
            return values[leaf.index] if isinstance(leaf, Slot) else leaf

        for call in plan.calls:
            args, kwargs = map_structure(fill, call.args), map_structure(fill, call.kwargs)
            if call.dtype is not None:
                args = map_structure(lambda leaf, dtype=call.dtype: _as_dtype(leaf, dtype), args)
            module = self._modules[call.name]
            assert module is not None
            result = module(*args, **kwargs)
            for slot, value in zip(call.outputs, flatten(result), strict=False):
                values[slot] = value
            for slot in call.freed:
                values[slot] = None
        return map_structure(fill, plan.graph.output)


def _as_dtype(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def _in_order(graph: Graph, args: Any, kwargs: Mapping[str, Any]) -> list[Any]:
    """Return inputs given as arguments, as a list or by name in the order of the graph's inputs."""
    names = [name for name, _, _ in graph.inputs]
    given: Any = args[0] if len(args) == 1 else (args or dict(kwargs))
    if len(args) == 1 and not isinstance(given, dict | list | tuple):
        return [given]
    if isinstance(given, dict):
        return [given[name] for name in names] if set(names) <= set(given) else flatten(given)
    return flatten(given)


class Builder:
    """Builds the modules of a Keras model.

    Args:
        keras: The module.
        backend: "torch" or "tensorflow".
        channels_last: Whether the model has its channels last.
    """

    def __init__(self, keras: ModuleType, backend: str, channels_last: bool) -> None:
        self.keras = keras
        self.backend = backend
        self.channels_last = channels_last
        self._made: dict[int, nn.Module] = {}

    def fill(self, parent: nn.Module, graph: Graph) -> Plan:
        """Add a child per operation to a module, and return the calls of the children."""
        names: dict[int, str] = {}
        by_operation: dict[int, list[Step]] = {}
        for step in graph.steps:
            by_operation.setdefault(id(step.operation), []).append(step)
        calls = []
        for step in graph.steps:
            operation = step.operation
            if id(operation) not in names:
                module = self._made.get(id(operation)) or self._module(operation, by_operation[id(operation)])
                self._made[id(operation)] = module
                names[id(operation)] = _add_child(parent, operation.name, module)
            name = names[id(operation)]
            dtype = None if _converts(parent._modules[name]) else _compute_dtype(operation)
            kwargs = {
                key: v for key, v in step.kwargs.items() if key != "training" and not (key == "mask" and v is None)
            }
            calls.append(Call(name, step.args, kwargs, step.outputs, step.freed, dtype))
        return Plan(graph, tuple(calls))

    def _module(self, operation: Any, steps: list[Step]) -> nn.Module:
        keras = self.keras
        graph = graph_of_model(keras, operation)
        if graph is not None:
            module: nn.Module = type(type(operation).__name__, (KerasGraph,), {"__module__": __name__})(self, graph)
            return module
        if (native := native_module(keras, operation)) is not None:
            return native
        wrapped = getattr(operation, "module", None)
        if type(operation).__name__ == "TorchModuleWrapper" and isinstance(wrapped, nn.Module):
            return wrapped
        if (graph := self._traced(operation, steps)) is not None:
            made: nn.Module = type(type(operation).__name__, (KerasGraph,), {"__module__": __name__})(self, graph)
            return made
        return build_layer(
            keras, operation, self.backend, channels_last=self.channels_last, one_cell=_has_one_cell(steps)
        )

    def _traced(self, operation: Any, steps: list[Step]) -> Graph | None:
        """Return the graph of a layer made of layers that the user wrote; None where it cannot be traced."""
        if type(operation).__module__.startswith("keras.src.") or len(all_layers(operation)) < 2:
            return None
        shapes = {tuple(tuple(t.shape) for t in step.inputs) for step in steps}
        if (
            len(shapes) != 1
            or not is_keras_layer(operation)
            or not steps[0].inputs
            or any(s.kwargs.keys() - {"training"} for s in steps)
        ):
            return None
        tensors = iter(steps[0].inputs)
        args = map_structure(lambda leaf: next(tensors) if isinstance(leaf, Slot) else leaf, steps[0].args)
        try:
            return traced_graph(self.keras, operation, args, {})
        except Exception:  # its `call` does more than Keras can trace: it runs as one module
            return None


def _converts(module: nn.Module | None) -> bool:
    """Return whether a module converts its arguments to its own type, as Keras layers do."""
    inner = module.pre_activation if isinstance(module, ActivatedLayer) else module
    return isinstance(inner, KerasLayer | KerasGraph)


def _compute_dtype(operation: Any) -> torch.dtype | None:
    dtype = getattr(torch, str(getattr(operation, "compute_dtype", "")), None)
    return dtype if isinstance(dtype, torch.dtype) and dtype.is_floating_point else None


def _add_child(parent: nn.Module, name: str, module: nn.Module) -> str:
    """Register a child under a name that PyTorch accepts, and return the name."""
    base = name = name.replace(".", "_")
    number = 1
    while name in parent._modules or hasattr(parent, name):
        name, number = f"{base}_{number}", number + 1
    parent._modules[name] = module
    return name


def _has_one_cell(steps: list[Step]) -> bool:
    """Return whether a layer is always called with grids of one cell, channels last."""
    return all(
        len(step.inputs) == 1 and len(step.inputs[0].shape) == 4 and tuple(step.inputs[0].shape[1:3]) == (1, 1)
        for step in steps
    )


def graph_of_model(keras: ModuleType, model: Any) -> Graph | None:
    """Return the graph of a functional or Sequential model whose `call` is Keras's own; None for anything else."""
    from keras.src.models.functional import Functional

    if isinstance(model, keras.Sequential) and type(model).call is keras.Sequential.call:
        functional = model._functional
        return None if functional is None else graph_of_functional(keras, functional)
    if isinstance(model, Functional) and type(model).call is Functional.call:
        return graph_of_functional(keras, model)
    return None


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
            graph, hint = _graph_of_subclassed(keras, model)
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
        _verify(keras, self, model, graph, backend)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output of the Keras model for network inputs `(b, c, *grid)`."""
        graph: Graph = self._plan.value.graph
        inputs = _in_order(graph, args, kwargs)
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


def _graph_of_subclassed(keras: ModuleType, model: Any) -> tuple[Graph, str]:
    """Return the graph of a model with a `call` of its own, and a hint for errors about its layers."""
    shape = _recorded_input_shape(model)
    symbol = keras.KerasTensor((None, *shape[1:]), dtype=keras.config.floatx(), name="images")
    try:
        graph = traced_graph(keras, model, [symbol], {})
        return Graph(
            (("images", shape[1:], str(symbol.dtype)),),
            graph.input_slots,
            graph.steps,
            graph.output,
            graph.n_slots,
            True,
        ), ""
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
    step = Step(model, (Slot(0),), {}, (1,), (0,), (symbol,))
    hint = (
        f" The `call` of the Keras model {model.name!r} uses more than layers, operators and keras.ops, so its layers "
        f"cannot be observed ({reason}). Methods on the pixels run: occlusion, rise, gradient."
    )
    return Graph((("images", shape[1:], str(symbol.dtype)),), (0,), (step,), Slot(1), 2), hint


def _recorded_input_shape(model: Any) -> tuple[Any, ...]:
    """Return the shape of the images that a subclassed model was built for, with free sides if these are not known."""
    shape = _recorded_shape(model)
    if shape is not None:
        return shape
    for layer in all_layers(model)[1:]:  # Keras does not record it where `call` cannot be traced
        shape = _recorded_shape(layer)
        if shape is not None:
            first = getattr(layer, "data_format", None) == "channels_first"
            return (None, shape[1], None, None) if first else (None, None, None, shape[3])
    raise ModelError(
        f"the Keras model {model.name!r} defines its own `call`, and the shape of its images is not recorded: call "
        "it once on a batch of images, and let it take one tensor (b, h, w, c)."
    )


def _recorded_shape(layer: Any) -> tuple[Any, ...] | None:
    shapes = list((vars(layer).get("_build_shapes_dict") or {}).values())
    shape = shapes[0] if len(shapes) == 1 else None
    is_image = isinstance(shape, list | tuple) and len(shape) == 4 and all(isinstance(s, int | None) for s in shape)
    return tuple(shape) if is_image and shape is not None else None


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


def _verify(keras: ModuleType, network: KerasNetwork, model: Any, graph: Graph, backend: str) -> None:
    """Compare the outputs with those of the Keras model on random inputs.

    Raises:
        ModelError: If they differ.
    """
    error: Exception | None = None
    for side in FREE_SIDES_PX:
        generator = torch.Generator().manual_seed(0)
        shapes = [tuple(side if size is None else size for size in shape) for _, shape, _ in graph.inputs]
        inputs = [torch.rand((1, *shape), generator=generator, dtype=torch.float32) * 2 - 1 for shape in shapes]
        try:
            expected = _keras_output(keras, model, inputs, backend)
        except Exception as failed:  # a model without a fixed input size may need a larger one
            error = failed
            if all(None not in shape for _, shape, _ in graph.inputs):
                break
            continue
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        axes: tuple[bool, ...] = network._channels_last.value
        images = [
            value.to(device).movedim(-1, 1) if last else value.to(device)
            for value, last in zip(inputs, axes, strict=True)
        ]
        with torch.inference_mode(False), torch.no_grad():
            output = network(*images)
        _compare(model, flatten(output), expected)
        return
    raise ModelError(f"the Keras model {model.name!r} does not run on a random image: {error}")


def _keras_output(keras: ModuleType, model: Any, inputs: list[Tensor], backend: str) -> list[Tensor]:
    """Return the outputs of the Keras model itself, without side effects."""
    given: list[Any] = [value if backend == "torch" else to_tensorflow(value) for value in inputs]
    structure = getattr(model, "input", None) if graph_of_model(keras, model) is not None else None
    arguments: Any = dict(zip(sorted(structure), given, strict=True)) if isinstance(structure, dict) else given
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        keras.StatelessScope(initialize_variables=False),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # about a list of one input in place of the input
        output = model(given[0] if len(given) == 1 and arguments is given else arguments, training=False)
    return [value if backend == "torch" else from_tensorflow(value) for value in flatten(output)]


def _compare(model: Any, outputs: list[Any], expected: list[Tensor]) -> None:
    if len(outputs) != len(expected):
        raise ModelError(f"the Keras model {model.name!r} has {len(expected)} outputs, and its copy {len(outputs)}.")
    for ours, theirs in zip(outputs, expected, strict=True):
        wanted = theirs.detach().double()
        scale = float(wanted.abs().max()) if wanted.numel() else 0.0
        tolerance = TOLERANCE_HALF if theirs.dtype in (torch.float16, torch.bfloat16) else TOLERANCE
        found = ours.detach().double()
        difference = float((found - wanted).abs().max()) if found.shape == wanted.shape else math.inf
        if not difference <= tolerance * scale + 1e-9:
            raise ModelError(
                f"the Keras model {model.name!r} cannot be explained: run layer by layer, its output differs from its "
                f"own by {difference:.2g} (largest output {scale:.2g}). Please report this model."
            )


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
