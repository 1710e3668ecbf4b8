"""Layer specifications: names, globs and indices, and the layers that they select."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Sequence
from typing import Any

from camlucida.engine import geometry
from camlucida.engine.call_profile import ModuleCall
from camlucida.engine.layer_checks import LayoutCheck, ScoreReader
from camlucida.engine.layers import Layer, candidates, default_layer, require_layers, to_layer
from camlucida.engine.module_calls import profile_calls
from camlucida.engine.named_inputs import NamedInputs
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.unsupported import scripted_hint
from camlucida.errors import LayerError, nearest
from camlucida.layer_names import LayerSpec
from camlucida.options import shown


def resolve(copy: NetworkCopy, inputs: Any, specs: Sequence[LayerSpec], read: ScoreReader | None = None) -> list[Layer]:
    """Return the layers that specifications select.

    Args:
        copy: The network copy.
        inputs: Network inputs; the layers may depend on their size.
        specs: The specifications; modules have been replaced by their names, see `layer_names`.
        read: Reads the class scores from the network's output: default and listed layers must influence them.

    Returns:
        The layers in the order of `specs`, without duplicates.

    Raises:
        LayerError: If a specification selects no layer (the message names the nearest matches), or one whose positions
            were measured to lie elsewhere in the image than its shape suggests.
    """
    require_layers(copy)
    layers: list[Layer] = []
    for spec in specs:
        layers += [layer for layer in _resolve_spec(copy, inputs, _plain(copy, spec), read) if layer not in layers]
    return layers


def _plain(copy: NetworkCopy, spec: Any) -> str | int | None:
    """Return a layer specification as None, a string or an integer.

    Raises:
        LayerError: If it is something else.
    """
    if spec is None:
        return None
    if not isinstance(spec, str):
        try:
            if isinstance(spec, bool):
                raise TypeError
            return operator.index(spec)
        except TypeError:
            raise LayerError(f"a layer is a name, a glob, an index, 'all' or a module, not {shown(spec)}.") from None
    number = spec.lstrip("-").isdigit() and not re.fullmatch(r"-?[0-9]{1,9}", spec)
    if number and copy.named(spec) is None:
        raise LayerError(
            f"{shown(spec)} is neither the name of a layer of {type(copy.module).__name__} nor the index of one."
        )
    return spec


def _resolve_spec(copy: NetworkCopy, inputs: Any, spec: str | int | None, read: ScoreReader | None) -> list[Layer]:
    if spec is None:
        return [default_layer(copy, inputs, read)]
    if isinstance(spec, str) and spec and copy.named(spec) is not None:  # also "4" or "all", if a module has this name
        return [_find_named(copy, inputs, spec, read)]
    if spec in (-1, "-1"):  # the last candidate is the default, which needs no test of the others
        return [default_layer(copy, inputs, read)]
    if isinstance(spec, int) or spec == "all" or spec.lstrip("-").isdigit():
        layers = candidates(copy, inputs, read)
        if spec == "all":
            return layers
        try:
            return [layers[int(spec)]]
        except IndexError:
            raise LayerError(
                f"no layer at index {spec}: there are {len(layers)} candidates, "
                + ", ".join(f"{i} {layer.name}" for i, layer in enumerate(layers))
            ) from None
    if any(wildcard in spec for wildcard in "*?["):
        return _match_glob(copy, inputs, spec, read)
    return [_find_named(copy, inputs, spec, read)]


def _find_named(copy: NetworkCopy, inputs: Any, spec: str, read: ScoreReader | None) -> Layer:
    profile = profile_calls(copy, inputs)
    path, _, key = spec.partition("@")
    name, _, call = path.partition("#")
    module = copy.named(name)
    if module is None or not name:
        raise LayerError(
            f"no layer {name!r} in {type(copy.module).__name__}."
            + nearest(name, copy.names.values())
            + _suitable_layers(copy, inputs, read)
        )
    n_calls = profile.n_calls(module)
    if not n_calls:  # not called in the cached run, but possibly on these inputs
        profile = profile_calls(copy, inputs, refresh=True)
        n_calls = profile.n_calls(module)
    if not n_calls:
        raise LayerError(
            scripted_hint(copy, name)
            or f"{name!r} was not called while {type(copy.module).__name__} ran. "
            "Is it used in eval mode, or does its parent module only use its weights?"
        )
    if call and not (call.isdigit() and 1 <= int(call) <= n_calls):
        raise LayerError(f"{name!r} is called {n_calls} times: there is no call #{call}.")
    module_call = profile.find_call(module, int(call)) if call else profile.last_call(module)
    if module_call is None or not module_call.depends_on_image:
        raise ImageNotSeen(
            f"what {spec!r} returns does not depend on the image {_image_name(inputs)}: it was the same for two "
            "different images. Choose a layer that this image reaches." + _suitable_layers(copy, inputs, read),
            spec,
        )
    if module_call.call != n_calls and not call:  # the bare name means the last call, which sees another input
        spec = f"{name}#{module_call.call}" + (f"@{key}" if key else "")
    if not key:
        geometry.check_layouts(copy, inputs, profile, [module_call.position])
        module_call = profile.module_calls[module_call.position]
        if module_call.layout is None and (check := profile.checks.get(module_call.position)) is not None:
            raise LayerError(_unverified(spec, module_call, check) + _suitable_layers(copy, inputs, read))
    return to_layer(profile, module_call, name=spec, key=key or None)


class ImageNotSeen(LayerError):
    """A layer whose output does not depend on the image that is explained, in a network with several inputs.

    Args:
        message: The message.
        spec: The specification of the layer.

    Attributes:
        spec: The specification of the layer.
    """

    def __init__(self, message: str, spec: str | None = None) -> None:
        super().__init__(message)
        self.spec = spec


def _image_name(inputs: Any) -> str:
    return repr(inputs.image) if isinstance(inputs, NamedInputs) else "that is explained"


def _unverified(name: str, module_call: ModuleCall, check: LayoutCheck) -> str:
    """Return the sentences of an error message about a layer whose output is not laid out as an image."""
    shape = tuple(module_call.shape or ())
    if check.outcome == "contradicted":
        return (
            f"{name!r} returns a tensor of shape {shape}, whose entries are not in the order of an image, row by row: "
            f"a patch that moves over the image moves the response elsewhere, by {check.error:.0%} of the image's side "
            "on average."
        )
    return (
        f"{name!r} returns a tensor of shape {shape}, which cannot be verified to be laid out as an image: no earlier "
        "layer returned such a grid, and all entries respond alike to a patch that moves over the image."
    )


def _match_glob(copy: NetworkCopy, inputs: Any, pattern: str, read: ScoreReader | None) -> list[Layer]:
    """Return the layers whose names match a glob, component by component: `layer?`, `layer4.*`."""
    profile = profile_calls(copy, inputs)
    parts = pattern.split(".")
    matches = [
        module_call
        for module_call in profile.module_calls
        if module_call.layout
        and module_call is profile.last_call(module_call.module)
        and len(names := module_call.name.split(".")) == len(parts)
        and all(fnmatch.fnmatchcase(name, part) for name, part in zip(names, parts, strict=True))
    ]
    geometry.check_layouts(copy, inputs, profile, [module_call.position for module_call in matches])
    matches = [call for module_call in matches if (call := profile.module_calls[module_call.position]).layout]
    if not matches:
        raise LayerError(
            f"no layer with a spatial grid matches {pattern!r} (a * matches within one part of a name)."
            + _suitable_layers(copy, inputs, read)
        )
    return [to_layer(profile, module_call) for module_call in matches]


def _suitable_layers(copy: NetworkCopy, inputs: Any, read: ScoreReader | None) -> str:
    """Return the sentence of an error message that lists the candidates."""
    return f" Suitable layers: {', '.join(layer.name for layer in candidates(copy, inputs, read)) or 'none'}."
