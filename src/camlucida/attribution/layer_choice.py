"""Why the default layer was chosen: its geometry, its influence, the class scores, the task, and the later layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch

from camlucida.attribution.read_scores import OutputReader
from camlucida.engine import Layer, nested, profile_calls
from camlucida.engine.call_profile import CallProfile, ModuleCall
from camlucida.engine.layer_checks import Influence
from camlucida.engine.named_inputs import call_network
from camlucida.engine.network_copy import NetworkCopy
from camlucida.models.model import Model

MAX_LATER = 3
"""Maximum number of later layers that are named with the same reason."""


def explain_choice(
    model: Model, copy: NetworkCopy, inputs: Any, default: Layer | None, read: OutputReader | None, output: str
) -> tuple[str, ...]:
    """Return sentences on why a layer is the default one.

    Args:
        model: The model.
        copy: The copy of its network.
        inputs: Network inputs of one image.
        default: The default layer; None if there is none.
        read: The reader of the class scores with which the layers were tested.
        output: How the class scores become probabilities, or why there are none.
    """
    profile = profile_calls(copy, inputs)
    facts = (*_class_scores(copy, inputs, read), f"Task: {output}")
    if default is None:
        return ("No layer returns a reliable spatial grid on which the class scores depend: name one.", *facts)
    call = profile.find_call(default.module, default.call)
    assert call is not None
    if model.layer is not None:
        return (f"{default.name} is the layer that the model was given (layer={model.layer!r}).", *facts)
    influences = profile.influences_on(read)
    return (
        f"{default.name} is the last layer with a reliable spatial grid on which the class scores depend.",
        f"Geometry: {_geometry(profile, call)}.",
        f"Influence: {_INFLUENCES[influences[call.position]]}.",
        *facts,
        *_later(profile, call, influences),
    )


_INFLUENCES = {
    Influence.NONE: "the class scores do not depend on it",
    Influence.PREFIX: "the class scores depend on its class or register tokens only, not on positions",
    Influence.CLASS_MAP: "it holds the class scores already, one map per class",
    Influence.POSITIONS: "the gradient of the class scores is not zero at its positions",
}


def _geometry(profile: CallProfile, call: ModuleCall) -> str:
    layout, check = call.layout, profile.checks.get(call.position)
    assert layout is not None
    shape, size = "×".join(map(str, (call.shape or ())[1:])), "×".join(map(str, layout.full_grid))
    grid = f"the output {shape} has a grid of {size}"
    if layout.frames:
        grid += f", of which the {layout.frames} rows were verified to be the frames in their order"
    if layout.prefix:
        grid += f" after {layout.prefix} token{'s' * (layout.prefix > 1)} without a position"
    if check is None:
        return f"{grid}, which convolutions and pooling layers made from the network input"
    if check.outcome == "verified":
        return (
            f"{grid}; a patch that moves over the image moves the response with it (correlation "
            f"{check.correlation:.3f}, mean error {check.error:.1%} of the image's side)"
        )
    return f"{grid}, as an earlier layer; its positions could not be verified, since all respond alike"


def _class_scores(copy: NetworkCopy, inputs: Any, read: OutputReader | None) -> tuple[str, ...]:
    if read is None:
        return ()
    with torch.inference_mode(False), torch.no_grad():
        output = call_network(copy.module, inputs)
        scores = read(output)
    # A class token shares its first element with the tokens that it is a view of.
    parts = [
        path
        for path, tensor in nested.tensors(output)
        if (tensor.data_ptr(), tensor.numel()) == (scores.data_ptr(), scores.numel())
    ]
    name = ".".join(map(str, parts[0])) if parts else ""
    where = f"the part {name!r} of the network's output" if name else "the network's output"
    return (f"Class scores: {where}, of shape {tuple(scores.shape)} for one image.",)


def _later(profile: CallProfile, default: ModuleCall, influences: dict[int, Influence]) -> Iterator[str]:
    """Yield one sentence per reason for which later layers are not the default."""
    names: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for call in profile.module_calls[default.position + 1 :]:
        reason = _reason(profile, call, influences)
        if call.name and reason:
            counts[reason] += 1
            names.setdefault(reason, []).append(call.name)
    for reason, of_reason in names.items():
        more = f" and {counts[reason] - MAX_LATER} more" if counts[reason] > MAX_LATER else ""
        yield f"Later: {', '.join(of_reason[:MAX_LATER])}{more}: {reason}."


def _reason(profile: CallProfile, call: ModuleCall, influences: dict[int, Influence]) -> str:
    check = profile.checks.get(call.position)
    if call.layout is None:
        if check is None:
            return "no spatial grid"
        if check.outcome == "contradicted":
            return "a moving patch moves the response elsewhere, so the output is not laid out as an image"
        return "the layout as an image cannot be verified"
    if check is not None and not check.is_reliable:
        return "the layout as an image cannot be verified"
    influence = influences.get(call.position)
    return "" if influence in (None, Influence.POSITIONS) else _INFLUENCES[influence]
