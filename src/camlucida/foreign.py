"""What the packages agree on for networks of other frameworks that run as `nn.Module`, such as those of Keras.

A package that builds such a module cannot be imported by the engine, and the engine cannot be imported by it. This is
all that they share: names of attributes that a module may have, and a box around objects of the other framework.
"""

from __future__ import annotations

from typing import Any

from torch import nn

REFRESH = "camlucida_refresh"
"""Method of a network, without arguments: takes over weights and settings that changed in the other framework.

It is called before a network is explained or its weights are hashed.
"""
LAYER_NAME = "camlucida_layer_name"
"""Method of a network from a layer object of the other framework to the name of its module, or None."""
CHANNELS_LAST = "camlucida_channels_last"
"""Attribute of a module: True where it returns (b, h, w, c)."""
IS_CONVOLUTION = "camlucida_is_convolution"
"""Attribute of a module: True where it is a convolution, other than PyTorch's own."""
LAYER_HINT = "camlucida_layer_hint"
"""Attribute of a network: a sentence that says why its layers cannot be observed, or the empty string."""
OUTSIDE_TORCH = "camlucida_outside_torch"
"""Attribute of a module: True where it may compute a ReLU that PyTorch does not see."""


class SharedReference:
    """A reference that copies of a network use as it is: what it holds is neither copied nor compared.

    Whoever puts an object into it is responsible that no forward pass modifies the object, and that a change of it is
    noticed by the network's `REFRESH`.

    Args:
        value: The object.
    """

    __slots__ = ("__weakref__", "value")

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"SharedReference({type(self.value).__name__})"


def refresh(network: nn.Module) -> None:
    """Let a network of another framework take over what changed there; does nothing for other networks."""
    method = getattr(type(network), REFRESH, None)
    if method is not None:
        method(network)


def foreign_layer_name(network: nn.Module, layer: Any) -> str | None:
    """Return the name of the module of a layer object of another framework; None if there is none."""
    method = getattr(type(network), LAYER_NAME, None)
    name: str | None = None if method is None else method(network, layer)
    return name


def layer_hint(network: nn.Module) -> str:
    """Return why the layers of a network of another framework cannot be observed; empty where they can."""
    return str(getattr(network, LAYER_HINT, ""))


def is_channels_last(module: nn.Module) -> bool:
    """Return whether a module of another framework returns (b, h, w, c)."""
    return getattr(module, CHANNELS_LAST, False) is True


def is_convolution(module: nn.Module) -> bool:
    """Return whether a module is a convolution, of PyTorch or of another framework."""
    return isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or getattr(module, IS_CONVOLUTION, False) is True
