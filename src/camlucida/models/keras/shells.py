"""Shells: copies of Keras layers around the same weights and settings, so that the user's layers are never modified.

Calling a layer writes to it: symbolic calls record nodes, and a `call` may set attributes. A shell is another object of
the same class that holds the same variables.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from camlucida.models.keras.backends import is_keras_layer

DROPPED = frozenset(
    (
        *("build", "quantize", "train_function", "test_function", "predict_function", "optimizer", "_optimizer"),
        *("history", "_compile_loss", "_compile_metrics", "_loss_tracker", "_compile_config", "loss", "_metrics"),
    )
)
"""Attributes that a call does not need: wrappers that refer to the original object, and the state of training."""
NODES = ("_inbound_nodes", "_outbound_nodes")


def shell_of(layer: Any) -> Any:
    """Return a shell of a Keras layer or model, and of all layers that it holds."""
    return _shell(layer, {})


def _shell(layer: Any, memo: dict[int, Any]) -> Any:
    if id(layer) in memo:
        return memo[id(layer)]
    new = memo[id(layer)] = object.__new__(type(layer))
    own: dict[str, Any] = vars(new)  # filled directly: setting an attribute of a layer would track its value
    for name, value in vars(layer).items():
        if name in DROPPED:
            if name == "_metrics":
                own[name] = []
            continue
        own[name] = [] if name in NODES else _copied(value, memo)
    if "_nodes_by_depth" in own:
        own["_nodes_by_depth"] = {
            depth: [_node(node, memo) for node in nodes] for depth, nodes in own["_nodes_by_depth"].items()
        }
    if isinstance(layer, nn.Module):
        own["training"] = False
        own["_modules"] = {"_torch_params": _eval_parameters(layer), **_without_parameters(own["_modules"])}
    return new


def _node(node: Any, memo: dict[int, Any]) -> Any:
    """Return a node of a functional graph that calls a shell."""
    copied = copy.copy(node)
    if is_keras_layer(node.operation):
        copied.operation = _shell(node.operation, memo)
    return copied


def _without_parameters(modules: dict[str, Any]) -> dict[str, Any]:
    return {name: module for name, module in modules.items() if name != "_torch_params"}


def _eval_parameters(layer: nn.Module) -> nn.Module:
    """Return the dict of parameters that Keras registers on a layer, in eval mode."""
    parameters = vars(layer)["_modules"].get("_torch_params")
    copied = nn.ParameterDict()
    if parameters is not None:
        vars(copied).update(vars(parameters))
    copied.training = False
    return copied


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    """Return a value with shells in place of the layers in it; a value without layers as it is."""
    if is_keras_layer(value):
        return _shell(value, memo)
    if isinstance(value, dict) and _holds_layers(value.values()):
        return {key: _copied(part, memo) for key, part in value.items()}
    if isinstance(value, list) and _holds_layers(value):
        return [_copied(part, memo) for part in value]
    if type(value) in (tuple, set) and _holds_layers(value):
        return type(value)(_copied(part, memo) for part in value)
    return value


def _holds_layers(values: Any) -> bool:
    return any(
        is_keras_layer(v)
        or (isinstance(v, dict) and _holds_layers(v.values()))
        or (isinstance(v, list | tuple | set) and not isinstance(v, torch.Size) and _holds_layers(v))
        for v in values
    )


def all_layers(layer: Any) -> list[Any]:
    """Return a Keras layer and all layers inside it."""
    return list(layer._flatten_layers()) if hasattr(layer, "_flatten_layers") else [layer]
