"""Layers of a network: which are suitable for explanations, and which of them is the default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from camlucida.engine import geometry, influence
from camlucida.engine.call_profile import CallProfile, ModuleCall
from camlucida.engine.image_axes import image_axes, image_size
from camlucida.engine.layer_checks import Influence, ScoreReader
from camlucida.engine.module_calls import profile_calls
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.unsupported import scripted_hint
from camlucida.errors import LayerError
from camlucida.foreign import is_channels_last, is_merge, layer_hint
from camlucida.opaque_networks import described, has_layers

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
        grid: (h, w) of the layer's output, (d, h, w) for volumes and frames; None if it has no spatial grid.
        is_verified: Whether the positions of the grid are known to lie in the image as in a grid: by the operations
            that made it, or measured. False where the layer's response to a moving patch is not local.
    """

    name: str
    module: nn.Module
    call: int
    n_calls: int
    key: str | None
    grid: tuple[int, ...] | None
    is_verified: bool = True

    @property
    def label(self) -> str:
        """Return the name and, for a module called several times, the call: "layer4.0.relu (call 3 of 3)"."""
        return f"{self.name} (call {self.call} of {self.n_calls})" if self.n_calls > 1 else self.name


def default_layer(copy: NetworkCopy, inputs: Any, read: ScoreReader | None = None) -> Layer:
    """Return the last layer with a spatial grid on which the class scores depend.

    For a CNN this is the end of the last stage; for a transformer it is the norm before the last attention, since of
    the later outputs only the class token is read.

    Args:
        copy: The network copy.
        inputs: Network inputs; the layers may depend on their size.
        read: Reads the class scores from the network's output, as in `influence.find_influence`.

    Raises:
        LayerError: If no layer returns a grid on which the scores depend.
    """
    require_layers(copy)
    profile = profile_calls(copy, inputs)
    last_call = _last_eligible_call(copy, inputs, profile, read)
    if last_call is None:
        raise LayerError(
            f"no layer of {type(copy.module).__name__} returns a spatial grid on which the class scores depend, "
            f"for an input of {image_size(copy, inputs)} pixels. {_advice(copy, inputs)}"
            f"{scripted_hint(copy)}{layer_hint(copy.module)}"
        )
    return to_layer(profile, last_call)


def _advice(copy: NetworkCopy, inputs: Any) -> str:
    if image_axes(copy, inputs).one_by_one:
        return (
            "It processes the frames of a video one after the other, and a layer that returns one frame per call has "
            "no map of the video: process them as one batch, frames.flatten(0, 1), or choose a method that maps the "
            "input, such as occlusion."
        )
    return "Name a layer with layer=…, or use a larger image."


def candidates(copy: NetworkCopy, inputs: Any, read: ScoreReader | None = None) -> list[Layer]:
    """Return the layers suitable for explanations, from early to late: stages or blocks, ending with the default.

    Args:
        copy: The network copy.
        inputs: Network inputs; the layers may depend on their size.
        read: Reads the class scores from the network's output, as in `influence.find_influence`.
    """
    if not has_layers(copy.module):
        return []
    profile = profile_calls(copy, inputs)
    eligible = _eligible_calls(copy, inputs, profile, read)
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
    return [to_layer(profile, module_call) for module_call in selected]


def require_layers(copy: NetworkCopy) -> None:
    """Raise `LayerError` for a network whose layers cannot be accessed."""
    if not has_layers(copy.module):
        raise LayerError(
            f"the model is {described(copy.module)}, whose layers cannot be accessed. Methods that map the network "
            "input itself need no layer, such as occlusion and rise."
        )


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


def to_layer(profile: CallProfile, module_call: ModuleCall, name: str | None = None, key: str | None = None) -> Layer:
    """Return the layer of a call, under its own name or the one given."""
    n_calls = profile.n_calls(module_call.module)
    if name is None:
        name = module_call.name if module_call.call == n_calls else f"{module_call.name}#{module_call.call}"
    return Layer(
        name,
        module_call.module,
        module_call.call,
        n_calls,
        key,
        module_call.layout.full_grid if module_call.layout else None,
        (check := profile.checks.get(module_call.position)) is None or check.outcome == "verified",
    )


def _possible_calls(profile: CallProfile) -> dict[int, ModuleCall]:
    """Return the calls that qualify as a stage if the scores depend on them, in the order they finished."""
    possible: dict[int, ModuleCall] = {}
    for module_call in profile.module_calls:
        check = profile.checks.get(module_call.position)
        if not module_call.name or not module_call.layout or (check is not None and not check.is_reliable):
            continue
        if _is_explainable(module_call, possible, profile):
            possible[module_call.position] = module_call
    return possible


def _eligible_calls(copy: NetworkCopy, inputs: Any, profile: CallProfile, read: ScoreReader | None) -> list[ModuleCall]:
    """Return the calls that qualify as a stage, in the order they finished."""
    geometry.check_layouts(copy, inputs, profile, list(_possible_calls(profile)))  # all of them in the same runs
    _last_eligible_call(copy, inputs, profile, read)  # tested first: the last candidate is always the default layer
    possible = _possible_calls(profile)
    influences = profile.influences_on(read)
    influence.find_influences(copy, inputs, profile, [p for p in possible if p not in influences], read)
    eligible: dict[int, ModuleCall] = {}
    for module_call in possible.values():
        has_influence = influences[module_call.position] in (Influence.POSITIONS, Influence.CLASS_MAP)
        if has_influence and _is_explainable(module_call, eligible, profile):
            eligible[module_call.position] = module_call
    # A class map, (b, classes, h, w) as in SqueezeNet, is an output already; the features before it explain it.
    features = [e for e in eligible.values() if influences[e.position] is Influence.POSITIONS]
    return features or list(eligible.values())


def _last_eligible_call(
    copy: NetworkCopy, inputs: Any, profile: CallProfile, read: ScoreReader | None
) -> ModuleCall | None:
    """Return the last call whose positions influence the class scores, or else the last class map.

    Calls are tested from the end in groups, to keep few tensors. Layouts are checked only where calls influence the
    scores, and then also those of earlier calls, as far as this needs little memory: the check runs the network as
    often for one call as for many.
    """
    possible = _possible_calls(profile)
    events = list(possible.values())
    influences = profile.influences_on(read)
    for wanted in (Influence.POSITIONS, Influence.CLASS_MAP):
        for group in influence.groups(profile, events):
            positions = {
                p for module_call in group for p in (module_call.position, module_call.same_output_as) if p in possible
            }
            influence.find_influence(copy, inputs, profile, sorted(positions - influences.keys()), read)
            with_influence = {p for p in positions if influences[p] is wanted}
            unchecked = [p for p in possible if possible[p].needs_check and p not in profile.checks]
            if needed := with_influence.intersection(unchecked):
                others = [p for p in reversed(unchecked) if p not in needed]
                geometry.check_layouts(copy, inputs, profile, geometry.add_within_memory(profile, needed, others))
                possible = _possible_calls(profile)
                changed = [p for p in sorted(with_influence - influences.keys()) if p in possible]
                influence.find_influence(copy, inputs, profile, changed, read)
                with_influence = {p for p in with_influence if influences.get(p) is wanted}
            eligible = {p: possible[p] for p in with_influence if p in possible}
            for module_call in group:
                if module_call.position in eligible and _is_explainable(module_call, eligible, profile):
                    return profile.module_calls[module_call.position]
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
    if _is_activation(module_call) or is_merge(module_call.module):
        return True
    if module_call.layout.kind == "nchw" or is_channels_last(module_call.module):
        return module_call.n_parameters > 0
    return "Norm" in type(module_call.module).__name__  # a Linear applied to tokens is part of attention or of an MLP


def _outermost(events: Sequence[ModuleCall], prefix: str) -> list[ModuleCall]:
    """Return the calls inside `prefix` that are not nested in another one of these calls."""
    descendants = [e for e in events if not prefix or e.name.startswith(f"{prefix}.")]
    names = {e.name for e in descendants}

    def is_nested(name: str) -> bool:
        parts = name.split(".")
        return any(".".join(parts[:i]) in names for i in range(1, len(parts)))

    return [e for e in descendants if not is_nested(e.name)]
