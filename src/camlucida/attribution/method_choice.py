"""Which methods a network can be explained with, and which one is the default.

A method names what it needs in its signature; a network whose layers cannot be accessed lacks some of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import nn

from camlucida.errors import MethodError
from camlucida.methods import Combined, Method, methods
from camlucida.methods.registry import ANY_NETWORK_INPUTS, ATTENTION_INPUTS, LAYER_INPUTS, METHOD_INPUTS
from camlucida.models.captions.captioner import Captioner
from camlucida.models.detection.candidates import Detector
from camlucida.opaque_networks import described, has_gradients, has_layers

DEFAULT_METHOD = "grad_cam"
"""The default method."""
OPAQUE_DEFAULT_METHOD = "occlusion"
"""The default method of a network whose layers cannot be accessed.

Measured on 24 scenes of toybox: 66 % of its positive evidence lies on the object, 69 % for RISE with 1000 masks, which
needs twelve times as many runs of the network; and it is deterministic (docs/sources/black-boxes.md).
"""
DETECTOR_DEFAULT_METHOD = "hires_cam"
"""The default method of an object detector, whose gradient of one box is local: averaged over the grid, as by Grad-CAM,
it highlights every object of the class.

Measured on toybox scenes with two objects of one class (docs/detection.md). ODAM (Zhao and Chan, ICLR 2023) is this
method with smoothed gradients.
"""
CAPTIONER_DEFAULT_METHOD = "layer_cam"
"""The default method of a network that writes words, whose gradient of one word is local, since its decoder attends to
positions of the image. On toybox scenes with two objects the map of each noun lies on its object in 97 % (Grad-CAM:
14 %; docs/captions.md).
"""

MANY_RUNS = frozenset({"score_inputs", "score_activations", "input_gradients", "layer_at", "progress", "ablate"})
"""Method inputs that may run the network, or large parts of it, many times."""
SINGLE_GRADIENTS = frozenset({"gradient", "input_x_gradient"})
"""Methods that use such an input once."""

_Spec = TypeVar("_Spec")


def default_method(network: nn.Module) -> str:
    """Return the name of the method that explains a network if none is named."""
    if isinstance(network, Detector):
        return DETECTOR_DEFAULT_METHOD
    if isinstance(network, Captioner):
        return CAPTIONER_DEFAULT_METHOD
    return DEFAULT_METHOD if has_layers(network) else OPAQUE_DEFAULT_METHOD


def or_default(method: _Spec | None, network: nn.Module) -> _Spec | str:
    """Return the method that was given, or the default one for None."""
    return default_method(network) if method is None else method


def default_note(network: nn.Module) -> str:
    """Return a sentence on why the default method is not the usual one; "" for a network with layers."""
    if has_layers(network):
        return ""
    return (
        f"The model is {described(network)}, whose layers cannot be accessed: explained with "
        f"{default_method(network)}, "
        f"not {DEFAULT_METHOD}. Methods for it: {', '.join(applicable(network))}."
    )


def available_inputs(network: nn.Module) -> frozenset[str]:
    """Return the names of the method inputs that can be computed with a network."""
    if has_layers(network):
        return METHOD_INPUTS
    return ANY_NETWORK_INPUTS | ({"input_gradients"} if has_gradients(network) else frozenset())


def applicable(network: nn.Module) -> list[str]:
    """Return the names of the methods that run on a network, in the order of the registry."""
    available = available_inputs(network)
    return [name for name, method in methods().items() if available.issuperset(method.needs)]


def check_applicable(requested: Sequence[Method | Combined], network: nn.Module) -> None:
    """Raise `MethodError` for a method that needs what a network does not have."""
    available = available_inputs(network)
    for method in requested:
        if missing := set(method.needs) - available:
            raise MethodError(
                f"{method.name} needs {_needed(missing)}, and the model is {described(network)}, which "
                f"{_lack(network)}. "
                f"Methods for it: {', '.join(applicable(network))}."
            )


def _needed(missing: set[str]) -> str:
    if missing & LAYER_INPUTS:
        return "the activations of a layer"
    if missing & ATTENTION_INPUTS:
        return "the attention weights of a transformer"
    return "the gradient at the input" if missing == {"input_gradients"} else "a backward pass through the layers"


def _lack(network: nn.Module) -> str:
    return "has no layers that can be accessed" + ("" if has_gradients(network) else " and no gradient")


def is_quick(method: Method | Combined) -> bool:
    """Return whether a map of the method takes only a few forward and backward passes."""
    if isinstance(method, Combined):
        return method.combinator.kind != "views" and is_quick(method.inner)
    return method.name in SINGLE_GRADIENTS or not (MANY_RUNS & set(method.needs))
