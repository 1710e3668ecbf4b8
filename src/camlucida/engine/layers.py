"""Layers of a network: which exist, which are suitable for explanations, and which one a specification selects."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from camlucida.engine import influence
from camlucida.engine.module_calls import CallProfile, ModuleCall, image_size, profile_calls
from camlucida.engine.network_copy import NetworkCopy
from camlucida.errors import LayerError, nearest
from camlucida.options import shown

LayerSpec = str | int | None
"""A layer specification, called `target_layer` in pytorch-grad-cam and given there as a module.

A name, a glob ("layer?"), an index into the candidates (-1 is the last), "all" candidates, or None for the default.
`name#2` is the second call of a module that is called several times (the bare name is the last call);
`name@key` is one part of an output that is a tuple or dict.
"""

TRUNK_FRACTION = 0.9
"""A block with more than this fraction of the parameters is the trunk of the network, not one of its stages.

Examples of trunks are "features" and "blocks".
"""


@dataclass(frozen=True)
class Layer:
    """One layer of a network, ready to be traced: the module, which call of it, and which part of its output.

    Attributes:
        name: A name that `resolve` accepts.
        module: The module in the network's copy.
        call: Which call of the module this is, counted from 1.
        n_calls: How often the module is called in one forward pass.
        key: The part of the output, for an output that is a tuple or dict; None for the first spatial tensor.
        grid: (h, w) of the layer's output; None if it has no spatial grid.
    """

    name: str
    module: nn.Module
    call: int
    n_calls: int
    key: str | None
    grid: tuple[int, int] | None

    @property
    def label(self) -> str:
        """Return the name and, for a module called several times, the call: "layer4.0.relu (call 3 of 3)"."""
        return f"{self.name} (call {self.call} of {self.n_calls})" if self.n_calls > 1 else self.name


def default_layer(copy: NetworkCopy, inputs: Any) -> Layer:
    """Return the last layer with a spatial grid on which the class scores depend.

    For a CNN this is the end of the last stage; for a transformer it is the norm before the last attention, since of
    the later outputs only the class token is read.

    Args:
        copy: The network copy.
        inputs: Network inputs; the layers may depend on their size.

    Raises:
        LayerError: If no layer returns a grid on which the scores depend.
    """
    profile = profile_calls(copy, inputs)
    last_call = _last_eligible_call(copy, inputs, profile)
    if last_call is None:
        raise LayerError(
            f"no layer of {type(copy.module).__name__} gives out a grid of the picture that its answer depends on, "
            f"for an input of {image_size(inputs)} pixels. Name one with layer=…, or use a larger picture."
        )
    return _to_layer(profile, last_call)


def candidates(copy: NetworkCopy, inputs: Any) -> list[Layer]:
    """Return the layers suitable for explanations, from early to late: stages or blocks, ending with the default.

    Args:
        copy: The network copy.
        inputs: Network inputs; the layers may depend on their size.
    """
    profile = profile_calls(copy, inputs)
    eligible = _eligible_calls(copy, inputs, profile)
    if not eligible:
        return []
    selected = _outermost(eligible, "")
    while trunk := _find_trunk(selected, eligible):
        selected = sorted({*(e for e in selected if e is not trunk), *_outermost(eligible, trunk.name)}, key=_position)
    blocks = [e for e in selected if not e.is_leaf]
    activations = [e for e in selected if _is_activation(e)]
    if len(blocks) >= 2:
        selected = blocks
    elif len(activations) >= 2:
        selected = activations
    if selected[-1].position < eligible[-1].position:
        selected = [*selected, eligible[-1]]
    return [_to_layer(profile, module_call) for module_call in selected]


def resolve(copy: NetworkCopy, inputs: Any, specs: Sequence[LayerSpec]) -> list[Layer]:
    """Return the layers that specifications select.

    Args:
        copy: The network copy.
        inputs: Network inputs; the layers may depend on their size.
        specs: The specifications.

    Returns:
        The layers in the order of `specs`, without duplicates.

    Raises:
        LayerError: If a specification selects no layer; the message names the nearest matches.
    """
    layers: list[Layer] = []
    for spec in specs:
        layers += [layer for layer in _resolve_spec(copy, inputs, _plain(copy, spec)) if layer not in layers]
    return layers


def _plain(network_copy: NetworkCopy, spec: Any) -> LayerSpec:
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
            raise LayerError(f"a layer is a name, a glob, an index or 'all', not {shown(spec)}.") from None
    number = spec.lstrip("-").isdigit() and not re.fullmatch(r"-?[0-9]{1,9}", spec)
    if number and network_copy.named(spec) is None:
        raise LayerError(
            f"{shown(spec)} is neither a layer of {type(network_copy.module).__name__} nor the number of one."
        )
    return spec


def _resolve_spec(copy: NetworkCopy, inputs: Any, spec: LayerSpec) -> list[Layer]:
    if spec is None:
        return [default_layer(copy, inputs)]
    if isinstance(spec, str) and spec and copy.named(spec) is not None:  # also "4" or "all", if a module has this name
        return [_find_named(copy, inputs, spec)]
    if spec in (-1, "-1"):  # the last candidate is the default, which needs no test of the others
        return [default_layer(copy, inputs)]
    if isinstance(spec, int) or spec == "all" or spec.lstrip("-").isdigit():
        choices = candidates(copy, inputs)
        if spec == "all":
            return choices
        try:
            return [choices[int(spec)]]
        except IndexError:
            raise LayerError(
                f"no layer number {spec}: there are {len(choices)} candidates, "
                + ", ".join(f"{i} {layer.name}" for i, layer in enumerate(choices))
            ) from None
    if any(wildcard in spec for wildcard in "*?["):
        return _match_glob(copy, inputs, spec)
    return [_find_named(copy, inputs, spec)]


def _find_named(copy: NetworkCopy, inputs: Any, spec: str) -> Layer:
    profile = profile_calls(copy, inputs)
    path, _, key = spec.partition("@")
    name, _, call = path.partition("#")
    module = copy.named(name)
    if module is None or not name:
        raise LayerError(
            f"no layer {name!r} in {type(copy.module).__name__}."
            + nearest(name, copy.names.values())
            + f" Worth explaining: {', '.join(layer.name for layer in candidates(copy, inputs)) or 'none found'}."
        )
    n_calls = profile.n_calls(module)
    if not n_calls:  # not called in the cached run, but possibly on these inputs
        profile = profile_calls(copy, inputs, refresh=True)
        n_calls = profile.n_calls(module)
    if not n_calls:
        raise LayerError(
            f"{name!r} was never reached while {type(copy.module).__name__} ran. "
            "Is it used in eval mode, or only its weights by the module around it?"
        )
    if call and not (call.isdigit() and 1 <= int(call) <= n_calls):
        raise LayerError(f"{name!r} is called {n_calls} times: there is no call #{call}.")
    module_call = profile.find_call(module, int(call) if call else n_calls)
    assert module_call is not None
    return _to_layer(profile, module_call, name=spec, key=key or None)


def _match_glob(copy: NetworkCopy, inputs: Any, pattern: str) -> list[Layer]:
    """Return the layers whose names match a glob, component by component: `layer?`, `layer4.*`."""
    profile = profile_calls(copy, inputs)
    parts = pattern.split(".")
    matches = [
        module_call
        for module_call in profile.module_calls
        if module_call.layout
        and module_call.call == profile.n_calls(module_call.module)
        and len(names := module_call.name.split(".")) == len(parts)
        and all(fnmatch.fnmatchcase(name, part) for name, part in zip(names, parts, strict=True))
    ]
    if not matches:
        choices = ", ".join(layer.name for layer in candidates(copy, inputs))
        raise LayerError(
            f"no layer with a place in the picture matches {pattern!r} (a * stays within one part of a name). "
            f"Worth explaining: {choices or 'none found'}."
        )
    return [_to_layer(profile, module_call) for module_call in matches]


def _find_trunk(selected: Sequence[ModuleCall], eligible: Sequence[ModuleCall]) -> ModuleCall | None:
    """Return the block that holds nearly all parameters and is better replaced by its parts, or None."""
    total = sum(e.n_parameters for e in selected)
    trunks = [e for e in selected if not e.is_leaf and e.n_parameters > TRUNK_FRACTION * total]
    return next((e for e in trunks if len(_outermost(eligible, e.name)) > 1), None)


def _position(module_call: ModuleCall) -> int:
    return module_call.position


_NOT_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmax2d)
"""Classes in the same file of PyTorch as the activations, which are none.

The output (b, heads, t, t) of a softmax over tokens would look like a spatial grid.
"""


def _is_activation(module_call: ModuleCall) -> bool:
    kind = type(module_call.module)
    return kind.__module__ == nn.ReLU.__module__ and not issubclass(kind, _NOT_ACTIVATIONS)


def _to_layer(profile: CallProfile, module_call: ModuleCall, name: str | None = None, key: str | None = None) -> Layer:
    n_calls = profile.n_calls(module_call.module)
    if name is None:
        name = module_call.name if module_call.call == n_calls else f"{module_call.name}#{module_call.call}"
    return Layer(
        name,
        module_call.module,
        module_call.call,
        n_calls,
        key,
        module_call.layout.grid if module_call.layout else None,
    )


def _possible_calls(profile: CallProfile) -> dict[int, ModuleCall]:
    """Return the calls that qualify as a stage if the scores depend on them, in the order they finished."""
    possible: dict[int, ModuleCall] = {}
    for module_call in profile.module_calls:
        if module_call.name and module_call.layout and _is_explainable(module_call, possible, profile):
            possible[module_call.position] = module_call
    return possible


def _eligible_calls(copy: NetworkCopy, inputs: Any, profile: CallProfile) -> list[ModuleCall]:
    """Return the calls that qualify as a stage, in the order they finished."""
    possible = _possible_calls(profile)
    _last_eligible_call(copy, inputs, profile)  # tested first, so that the last candidate is always the default layer
    influence.find_influences(copy, inputs, profile, [p for p in possible if p not in profile.influences])
    eligible: dict[int, ModuleCall] = {}
    for module_call in possible.values():
        if profile.influences[module_call.position] and _is_explainable(module_call, eligible, profile):
            eligible[module_call.position] = module_call
    # A class map, (b, classes, h, w) as in SqueezeNet, is an output already; the features before it explain it.
    features = [e for e in eligible.values() if not _is_class_map(e, profile)]
    return features or list(eligible.values())


def _last_eligible_call(copy: NetworkCopy, inputs: Any, profile: CallProfile) -> ModuleCall | None:
    """Return the last eligible call; calls are tested from the end in groups, to keep few tensors."""
    possible = _possible_calls(profile)
    features = [e for e in possible.values() if not _is_class_map(e, profile)]
    class_maps = [e for e in possible.values() if _is_class_map(e, profile)]
    for events in (features, class_maps):
        for group in influence.groups(profile, events):
            positions = {
                p for module_call in group for p in (module_call.position, module_call.same_output_as) if p in possible
            }
            influence.find_influence(copy, inputs, profile, sorted(positions - profile.influences.keys()))
            eligible = {p: possible[p] for p in positions if profile.influences[p]}
            for module_call in group:
                if module_call.position in eligible and _is_explainable(module_call, eligible, profile):
                    return module_call
    return None


def _is_explainable(module_call: ModuleCall, eligible: Mapping[int, ModuleCall], profile: CallProfile) -> bool:
    """Return whether a call is a convolution, a norm, an activation or a block.

    Pools and reshapes do not qualify, and neither do blocks that only return the output of such a module.
    """
    assert module_call.layout is not None
    if not module_call.is_leaf:
        only_forwards_child = (
            module_call.same_output_as is not None and profile.module_calls[module_call.same_output_as].is_leaf
        )
        return module_call.n_parameters > 0 and not (only_forwards_child and module_call.same_output_as not in eligible)
    if _is_activation(module_call):
        return True
    if module_call.layout.kind == "nchw":
        return module_call.n_parameters > 0
    return "Norm" in type(module_call.module).__name__  # a Linear applied to tokens is part of attention or of an MLP


def _is_class_map(module_call: ModuleCall, profile: CallProfile) -> bool:
    """Return whether a call returns a map per class, (b, classes, h, w), that no Linear follows."""
    return (
        module_call.layout is not None
        and module_call.layout.kind == "nchw"
        and module_call.shape is not None
        and module_call.shape[1] == profile.n_outputs
        and not any(
            isinstance(later.module, nn.Linear)
            for later in profile.module_calls[module_call.position + 1 :]
            if later.n_parameters
        )
    )


def _outermost(events: Sequence[ModuleCall], prefix: str) -> list[ModuleCall]:
    """Return the calls inside `prefix` that are not nested in another one of these calls."""
    descendants = [e for e in events if not prefix or e.name.startswith(f"{prefix}.")]
    names = {e.name for e in descendants}

    def is_nested(name: str) -> bool:
        parts = name.split(".")
        return any(".".join(parts[:i]) in names for i in range(1, len(parts)))

    return [e for e in descendants if not is_nested(e.name)]
