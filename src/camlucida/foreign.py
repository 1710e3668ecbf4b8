"""What the packages agree on for networks of other frameworks that run as `nn.Module`, such as those of Keras.

A package that builds such a module cannot be imported by the engine, and the engine cannot be imported by it. This is
all that they share: names of attributes that a module may have, and a box around objects of the other framework.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from torch import nn
from torch.overrides import _get_current_function_mode_stack

from camlucida.errors import MethodError

REFRESH = "camlucida_refresh"
"""Method of a network, without arguments: takes over weights and settings that changed in the other framework.

It is called before a network is explained or its weights are hashed.
"""
LAYER_NAME = "camlucida_layer_name"
"""Method of a network from a layer object of the other framework to the name of its module, or None."""
CHANNELS_LAST = "camlucida_channels_last"
"""Attribute of a module: True where it returns (b, h, w, c)."""
IS_GRID_LAYER = "camlucida_is_grid_layer"
"""Attribute of a module: True where it is a convolution, pooling layer or the like, other than PyTorch's own, that
takes and returns (b, h, w, c), so that its output grid covers the image as its input grid does."""
IS_CONVOLUTION = "camlucida_is_convolution"
"""Attribute of a module: True where it is a convolution, other than PyTorch's own."""
IS_MERGE = "camlucida_is_merge"
"""Attribute of a module: True where it adds or concatenates the outputs of branches, and so is the end of a block."""
LAYER_HINT = "camlucida_layer_hint"
"""Attribute of a network: a sentence that says why its layers cannot be observed, or the empty string."""


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


@dataclass(frozen=True)
class OutsideTorch:
    """A call of a layer of another framework, in which PyTorch sees less than in its own layers.

    Attributes:
        layer: Name of the layer.
        runs_on: The backend. On "torch" PyTorch sees the functions inside, but not the layer's weights and biases as
            those of its own layers.
        is_affine: Whether the layer is known to be an affine function of its inputs.
        may_hide_relu: Whether it may compute a ReLU.
    """

    layer: str
    runs_on: str
    is_affine: bool
    may_hide_relu: bool


class SeesOutside(Protocol):
    """A `TorchFunctionMode` that gives functions a backward rule of their own."""

    def outside_torch(self, call: OutsideTorch) -> None:
        """Raise `MethodError` for a call that the mode's rule would have to be applied to."""


def announce(call: OutsideTorch) -> None:
    """Tell the active modes about a call that they cannot see.

    Raises:
        MethodError: A mode needs to see inside of the layer.
    """
    for mode in _get_current_function_mode_stack():  # type: ignore[no-untyped-call]
        check = getattr(mode, "outside_torch", None)
        if check is not None:
            check(call)


def refuse_outside(call: OutsideTorch, rule: str, *, in_any_case: bool = False) -> NoReturn:
    """Raise the `MethodError` of a mode that needs to see inside of a layer."""
    hint = "" if in_any_case else ", or run Keras with KERAS_BACKEND=torch"
    raise MethodError(
        f"{rule} has a rule for what is inside of layers, and {call.layer!r} runs in Keras on {call.runs_on}, where it "
        f"cannot be applied. Use a gradient method such as integrated_gradients{hint}."
    )


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


def is_grid_layer(module: nn.Module) -> bool:
    """Return whether a module of another framework takes and returns grids (b, h, w, c) that cover the image alike."""
    return getattr(module, IS_GRID_LAYER, False) is True


def is_merge(module: nn.Module) -> bool:
    """Return whether a module of another framework adds or concatenates branches."""
    return getattr(module, IS_MERGE, False) is True


def is_convolution(module: nn.Module) -> bool:
    """Return whether a module is a convolution, of PyTorch or of another framework."""
    return isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or getattr(module, IS_CONVOLUTION, False) is True
