"""Build PyTorch modules from the graph of a Keras model, and run its calls in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.foreign import SharedReference
from camlucida.models.keras.activations import native_module
from camlucida.models.keras.backends import is_keras_layer
from camlucida.models.keras.graph import Graph, Slot, Step, flatten, graph_of_functional, map_structure, traced_graph
from camlucida.models.keras.layers import ActivatedLayer, KerasLayer, build_layer
from camlucida.models.keras.shells import all_layers


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
        return self._run(in_order(plan.graph, args, kwargs))

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


def in_order(graph: Graph, args: Any, kwargs: Mapping[str, Any]) -> list[Any]:
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
