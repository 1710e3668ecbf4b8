"""Which methods a model can be explained with, and which one is the default.

A method names what it needs in its signature; a network whose layers cannot be accessed lacks some of it. The default
follows the kind of the targets: those of a model, and of what it was bound to (`models.image_targets`), whose output
says what is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from camlucida.errors import MethodError
from camlucida.methods import Combined, Method, methods
from camlucida.methods.registry import ANY_NETWORK_INPUTS, ATTENTION_INPUTS, LAYER_INPUTS, METHOD_INPUTS
from camlucida.models.captions.captioner import Captioner
from camlucida.models.detection.candidates import Detector
from camlucida.models.model import Model
from camlucida.models.segmentation.pixel_scores import RegionScores, WholeImageScores
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
SEGMENTER_DEFAULT_METHOD = "hires_cam"
"""The default method of a segmentation network, whose gradient of a region is local: averaged over the grid, as by
Grad-CAM, it highlights every object of the class.

Measured on toybox scenes with two objects of one class: the map of one of them has its majority in it in 60 of 60
(Grad-CAM: 20), and for whole classes both have (docs/segmentation.md).
"""

MANY_RUNS = frozenset({"score_inputs", "score_activations", "input_gradients", "layer_at", "progress", "ablate"})
"""Method inputs that may run the network, or large parts of it, many times."""
SINGLE_GRADIENTS = frozenset({"gradient", "input_x_gradient"})
"""Methods that use such an input once."""

_Spec = TypeVar("_Spec")


@dataclass(frozen=True)
class DefaultMethod:
    """The method that explains a target if none is named.

    Attributes:
        name: Name of the method.
        reason: Why it is not the usual one, as a short phrase; "" for the usual one.
    """

    name: str = DEFAULT_METHOD
    reason: str = ""


def default_choice(model: Model) -> DefaultMethod:
    """Return the default method of a model, or of one target that a model was bound to, with the reason."""
    network, weights = model.network, "it weights positions, not channels"
    if isinstance(network, Detector):
        return DefaultMethod(DETECTOR_DEFAULT_METHOD, f"default for boxes: {weights}")
    if isinstance(network, Captioner):
        return DefaultMethod(CAPTIONER_DEFAULT_METHOD, f"default for words: {weights}")
    if not has_layers(network):
        return DefaultMethod(OPAQUE_DEFAULT_METHOD, "default where layers cannot be accessed")
    if isinstance(model.output, RegionScores | WholeImageScores):
        return DefaultMethod(SEGMENTER_DEFAULT_METHOD, f"default for regions: {weights}")
    return DefaultMethod()


def default_method(model: Model) -> str:
    """Return the name of the method that explains a model, or one target that it was bound to, if none is named."""
    return default_choice(model).name


def or_default(method: _Spec | None, model: Model) -> _Spec | str:
    """Return the method that was given, or the default one for None."""
    return default_method(model) if method is None else method


def reason_of(method: object, model: Model) -> str:
    """Return why the default method is not the usual one; "" where a method was given."""
    return default_choice(model).reason if method is None else ""


def default_note(model: Model) -> str:
    """Return a sentence on why the default method is not the usual one; "" for the usual one."""
    network, default = model.network, default_choice(model)
    if not default.reason:
        return ""
    if has_layers(network):
        return f"Explained with {default.name}, the {default.reason}."
    return (
        f"The model is {described(network)}, whose layers cannot be accessed: explained with {default.name}, "
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
