"""The computation graph of a Keras model as a list of steps, each of which calls one operation.

Functional and Sequential models have a graph. For a subclassed one it is recorded by calling its `call` on symbolic
tensors, which Keras supports where only layers, operators and `keras.ops` are used.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from camlucida.errors import ModelError
from camlucida.models.keras.shells import shell_of


@dataclass(frozen=True)
class Slot:
    """The place of a tensor in the arguments of a step: the number of the tensor in the graph."""

    index: int


@dataclass(frozen=True)
class Step:
    """One call of an operation.

    Attributes:
        operation: The Keras layer or operation.
        args: Positional arguments, with a `Slot` in place of every tensor.
        kwargs: Keyword arguments, likewise.
        outputs: Numbers of the tensors that it returns, in the order of the flattened output.
        freed: Numbers of the tensors that no later step reads.
        inputs: Symbolic tensors that it is called with, which have a shape and a dtype.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[int, ...]
    freed: tuple[int, ...]
    inputs: tuple[Any, ...]


@dataclass(frozen=True)
class Graph:
    """The steps of a model.

    Attributes:
        inputs: The symbolic inputs: name, shape without the batch axis (None for a free size), dtype.
        input_slots: The numbers of the inputs.
        steps: The calls in an order in which they can run.
        output: The structure of the output, with a `Slot` in place of every tensor.
        n_slots: Number of tensors.
        traced: Whether the graph was recorded for inputs of these shapes only.
    """

    inputs: tuple[tuple[str, tuple[int | None, ...], str], ...]
    input_slots: tuple[int, ...]
    steps: tuple[Step, ...]
    output: Any
    n_slots: int
    traced: bool = False


def map_structure(function: Any, value: Any) -> Any:
    """Return a nested list, tuple or dict with `function` applied to its leaves."""
    if isinstance(value, list | tuple):
        parts = [map_structure(function, part) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, dict):
        return {key: map_structure(function, part) for key, part in value.items()}
    return function(value)


def flatten(value: Any) -> list[Any]:
    """Return the leaves of a nested list, tuple or dict, as Keras orders them."""
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in flatten(part)]
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in flatten(value[key])]
    return [value]


def graph_of_functional(keras: ModuleType, function: Any) -> Graph:
    """Return the graph of a functional model, or of another Keras `Function`."""
    numbers: dict[int, int] = {}
    for tensor in function.inputs:
        numbers.setdefault(id(tensor), len(numbers))
    input_slots = tuple(numbers[id(tensor)] for tensor in function.inputs)
    steps = []
    for node in _ordered_nodes(function):
        if node.is_input or any(id(tensor) not in numbers for tensor in node.input_tensors):
            continue

        def slot(value: Any) -> Any:
            return Slot(numbers[id(value)]) if isinstance(value, keras.KerasTensor) else value

        args, kwargs = map_structure(slot, node.arguments.args), map_structure(slot, node.arguments.kwargs)
        for tensor in node.outputs:
            numbers.setdefault(id(tensor), len(numbers))
        outputs = tuple(numbers[id(tensor)] for tensor in node.outputs)
        steps.append(Step(node.operation, tuple(args), kwargs, outputs, (), tuple(node.input_tensors)))
    structure = getattr(function, "_outputs_struct", None)
    structure = function.outputs if structure is None else structure
    output = map_structure(lambda tensor: Slot(numbers[id(tensor)]), _plain(structure))
    if isinstance(output, list | tuple) and len(output) == 1:  # as `Functional.call` returns it
        output = output[0]
    inputs = tuple((tensor.name, tuple(tensor.shape[1:]), str(tensor.dtype)) for tensor in function.inputs)
    return Graph(inputs, input_slots, _freeing(steps, output), output, len(numbers))


def _plain(value: Any) -> Any:
    """Return a structure with plain lists and dicts in place of those that Keras tracks."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [_plain(part) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def _ordered_nodes(function: Any) -> Iterator[Any]:
    by_depth = function._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def graph_of_chain(layers: Sequence[Any], inputs: tuple[tuple[str, tuple[int | None, ...], str], ...]) -> Graph:
    """Return the graph of a Sequential model: every layer is called with the output of the one before."""
    steps = [Step(layer, (Slot(i),), {}, (i + 1,), (i,), ()) for i, layer in enumerate(layers)]
    return Graph(inputs, (0,), tuple(steps), Slot(len(layers)), len(layers) + 1)


def _freeing(steps: Sequence[Step], output: Any) -> tuple[Step, ...]:
    """Return the steps with the tensors that each of them frees."""
    kept = {leaf.index for leaf in flatten(output) if isinstance(leaf, Slot)}
    ordered = []
    for step in reversed(steps):
        read = {leaf.index for leaf in flatten([*step.args, step.kwargs]) if isinstance(leaf, Slot)}
        freed = tuple(sorted((read | set(step.outputs)) - kept))
        kept |= read | set(step.outputs)
        ordered.append(Step(step.operation, step.args, step.kwargs, step.outputs, freed, step.inputs))
    return tuple(ordered[::-1])


def traced_graph(keras: ModuleType, layer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Graph:
    """Record the graph of a layer or subclassed model from its `call` on symbolic tensors.

    Args:
        keras: The module.
        layer: The layer, which is not modified: a shell of it is called.
        args: Symbolic tensors, or structures of them, that its `call` takes.
        kwargs: Further arguments.

    Raises:
        Exception: Of any type, where `call` does more than Keras can trace.
    """
    shell = shell_of(layer)
    if accepts_training(shell):
        kwargs = {**kwargs, "training": False}
    with preserved_names():
        symbols = [leaf for leaf in flatten([*args, kwargs]) if isinstance(leaf, keras.KerasTensor)]
        fresh = {id(t): keras.Input(batch_shape=t.shape, dtype=t.dtype) for t in symbols}

        def replaced(value: Any) -> Any:
            return fresh.get(id(value), value)

        outputs = shell.call(*map_structure(replaced, list(args)), **map_structure(replaced, kwargs))
        function = keras.Function(list(fresh.values()), outputs)
    graph = graph_of_functional(keras, function)
    if any(step.operation is shell for step in graph.steps):
        raise ModelError(f"the call of {type(layer).__name__} is one step")
    return graph


def accepts_training(layer: Any) -> bool:
    """Return whether the `call` of a layer has the argument `training`."""
    return bool(getattr(layer, "_call_has_training_arg", False))


@contextlib.contextmanager
def preserved_names() -> Iterator[None]:
    """Restore Keras's counters of automatic names, which determine the names of layers that the user makes later."""
    from keras.src.backend.common import global_state

    counters = global_state.get_global_attribute("object_name_uids")
    before = copy.copy(counters)
    try:
        yield
    finally:
        if before is None:
            global_state.set_global_attribute("object_name_uids", None)
        else:
            global_state.set_global_attribute("object_name_uids", before)
