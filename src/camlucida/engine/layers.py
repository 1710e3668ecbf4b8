"""Layers: which ones a network has, which are worth explaining, and which one a user means."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from camlucida.engine import influence
from camlucida.engine.survey import Event, Survey, picture_size, survey
from camlucida.engine.twin import Twin
from camlucida.errors import LayerError, nearest
from camlucida.options import shown

LayerSpec = str | int | None
"""A name, a glob ("layer?"), an index into the candidates (-1 is the last), "all" candidates, None the default.

`name#2` is the second call of a module that is called several times (the bare name is the last one);
`name@key` is one part of an output that is a tuple or dict.
"""

TRUNK = 0.9
"""A block with this share of the parameters is the network's trunk ("features", "blocks"), not one of its stages."""


@dataclass(frozen=True)
class Layer:
    """One layer of a network, ready to be traced: the module, which call of it, which part of its output.

    name   as it can be asked for again
    call   from 1; `calls` is how often the module ran
    """

    name: str
    module: nn.Module
    call: int
    calls: int
    key: str | None
    grid: tuple[int, int] | None

    @property
    def label(self) -> str:
        """The name, and which call it was where there are several: "layer4.0.relu (call 3 of 3)"."""
        return f"{self.name} (call {self.call} of {self.calls})" if self.calls > 1 else self.name


def default_layer(twin: Twin, inputs: Any) -> Layer:
    """The last layer with a place in the picture that the answer depends on.

    For a CNN that is the end of the last stage; for a transformer the norm before the last attention, since
    of what comes later only the class token is read.
    """
    found = survey(twin, inputs)
    last = _last_eligible(twin, inputs, found)
    if last is None:
        raise LayerError(
            f"no layer of {type(twin.module).__name__} gives out a grid of the picture that its answer depends on, "
            f"for an input of {picture_size(inputs)} pixels. Name one with layer=…, or use a larger picture."
        )
    return _layer(found, last)


def candidates(twin: Twin, inputs: Any) -> list[Layer]:
    """The layers worth explaining, from edges to objects: the stages or blocks, ending with the default."""
    found = survey(twin, inputs)
    eligible = _eligible(twin, inputs, found)
    if not eligible:
        return []
    chosen = _outermost(eligible, "")
    while trunk := _trunk(chosen, eligible):
        chosen = sorted({*(e for e in chosen if e is not trunk), *_outermost(eligible, trunk.name)}, key=_position)
    blocks = [e for e in chosen if not e.leaf]
    activations = [e for e in chosen if _is_activation(e)]
    if len(blocks) >= 2:
        chosen = blocks
    elif len(activations) >= 2:
        chosen = activations
    if chosen[-1].position < eligible[-1].position:
        chosen = [*chosen, eligible[-1]]
    return [_layer(found, event) for event in chosen]


def resolve(twin: Twin, inputs: Any, specs: Sequence[LayerSpec]) -> list[Layer]:
    """The layers that `specs` mean, in that order, without repeats. Raises `LayerError` with the nearest names."""
    layers: list[Layer] = []
    for spec in specs:
        layers += [layer for layer in _resolved(twin, inputs, _plain(twin, spec)) if layer not in layers]
    return layers


def _plain(twin: Twin, spec: Any) -> LayerSpec:
    """A layer as it was asked for, if that is a name or a number. Raises `LayerError`."""
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
    if number and twin.named(spec) is None:
        raise LayerError(f"{shown(spec)} is neither a layer of {type(twin.module).__name__} nor the number of one.")
    return spec


def _resolved(twin: Twin, inputs: Any, spec: LayerSpec) -> list[Layer]:
    if spec is None:
        return [default_layer(twin, inputs)]
    if (
        isinstance(spec, str) and spec and twin.named(spec) is not None
    ):  # also "4" or "all", where a module is called so
        return [_named(twin, inputs, spec)]
    if spec in (-1, "-1"):  # the last candidate is the default, which is found without testing the others
        return [default_layer(twin, inputs)]
    if isinstance(spec, int) or spec == "all" or spec.lstrip("-").isdigit():
        known = candidates(twin, inputs)
        if spec == "all":
            return known
        try:
            return [known[int(spec)]]
        except IndexError:
            raise LayerError(
                f"no layer number {spec}: there are {len(known)} candidates, "
                + ", ".join(f"{i} {layer.name}" for i, layer in enumerate(known))
            ) from None
    if any(sign in spec for sign in "*?["):
        return _matching(twin, inputs, spec)
    return [_named(twin, inputs, spec)]


def _named(twin: Twin, inputs: Any, spec: str) -> Layer:
    found = survey(twin, inputs)
    rest, _, key = spec.partition("@")
    name, _, call = rest.partition("#")
    module = twin.named(name)
    if module is None or not name:
        raise LayerError(
            f"no layer {name!r} in {type(twin.module).__name__}."
            + nearest(name, twin.names.values())
            + f" Worth explaining: {', '.join(layer.name for layer in candidates(twin, inputs)) or 'none found'}."
        )
    calls = found.calls(module)
    if not calls:  # not on the path that was remembered; perhaps on that of these inputs
        found = survey(twin, inputs, again=True)
        calls = found.calls(module)
    if not calls:
        raise LayerError(
            f"{name!r} was never reached while {type(twin.module).__name__} ran. "
            "Is it used in eval mode, or only its weights by the module around it?"
        )
    if call and not (call.isdigit() and 1 <= int(call) <= calls):
        raise LayerError(f"{name!r} is called {calls} times: there is no call #{call}.")
    event = found.event(module, int(call) if call else calls)
    assert event is not None
    return _layer(found, event, name=spec, key=key or None)


def _matching(twin: Twin, inputs: Any, pattern: str) -> list[Layer]:
    """Layers whose name fits a glob, part by part: `layer?` is four stages, `layer4.*` three blocks."""
    found = survey(twin, inputs)
    parts = pattern.split(".")
    hits = [
        event
        for event in found.events
        if event.layout
        and event.call == found.calls(event.module)
        and len(names := event.name.split(".")) == len(parts)
        and all(fnmatch.fnmatchcase(name, part) for name, part in zip(names, parts, strict=True))
    ]
    if not hits:
        known = ", ".join(layer.name for layer in candidates(twin, inputs))
        raise LayerError(
            f"no layer with a place in the picture matches {pattern!r} (a * stays within one part of a name). "
            f"Worth explaining: {known or 'none found'}."
        )
    return [_layer(found, event) for event in hits]


def _trunk(chosen: Sequence[Event], eligible: Sequence[Event]) -> Event | None:
    """The one block that holds nearly the whole network and is better shown by its parts; None if there is none."""
    total = sum(e.parameters for e in chosen)
    trunks = [e for e in chosen if not e.leaf and e.parameters > TRUNK * total]
    return next((e for e in trunks if len(_outermost(eligible, e.name)) > 1), None)


def _position(event: Event) -> int:
    return event.position


_NO_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmax2d)
"""Stand in the same file of PyTorch. A softmax over tokens, (b, heads, t, t), would look like a grid of the picture."""


def _is_activation(event: Event) -> bool:
    kind = type(event.module)
    return kind.__module__ == nn.ReLU.__module__ and not issubclass(kind, _NO_ACTIVATIONS)


def _layer(found: Survey, event: Event, name: str | None = None, key: str | None = None) -> Layer:
    calls = found.calls(event.module)
    if name is None:
        name = event.name if event.call == calls else f"{event.name}#{event.call}"
    return Layer(name, event.module, event.call, calls, key, event.layout.grid if event.layout else None)


def _possible(found: Survey) -> dict[int, Event]:
    """Events that could stand for a stage of seeing if the answer depends on them, in the order they finished."""
    possible: dict[int, Event] = {}
    for event in found.events:
        if event.name and event.layout and _sees(event, possible, found):
            possible[event.position] = event
    return possible


def _eligible(twin: Twin, inputs: Any, found: Survey) -> list[Event]:
    """Events that can stand for a stage of seeing, in the order they finished."""
    possible = _possible(found)
    _last_eligible(twin, inputs, found)  # asked from the end first, so that the last is the default everywhere
    influence.find_all(twin, inputs, found, [p for p in possible if p not in found.influences])
    good: dict[int, Event] = {}
    for event in possible.values():
        if found.influences[event.position] and _sees(event, good, found):
            good[event.position] = event
    # A class map, (b, classes, h, w) as in SqueezeNet, is an answer already; what it is made of explains it.
    features = [e for e in good.values() if not _is_class_map(e, found)]
    return features or list(good.values())


def _last_eligible(twin: Twin, inputs: Any, found: Survey) -> Event | None:
    """The last of the eligible events, tested from the end in groups, so that only the last calls are kept."""
    possible = _possible(found)
    features = [e for e in possible.values() if not _is_class_map(e, found)]
    class_maps = [e for e in possible.values() if _is_class_map(e, found)]
    for events in (features, class_maps):
        for group in influence.groups(found, events):
            asked = {p for event in group for p in (event.position, event.passes_on) if p in possible}
            influence.find(twin, inputs, found, sorted(asked - found.influences.keys()))
            good = {p: possible[p] for p in asked if found.influences[p]}
            for event in group:
                if event.position in good and _sees(event, good, found):
                    return event
    return None


def _sees(event: Event, good: Mapping[int, Event], found: Survey) -> bool:
    """Convolutions, norms, activations and blocks; not pools, reshapes, or a block that only ends in one."""
    assert event.layout is not None
    if not event.leaf:
        only_passes_on = event.passes_on is not None and found.events[event.passes_on].leaf
        return event.parameters > 0 and not (only_passes_on and event.passes_on not in good)
    if _is_activation(event):
        return True
    if event.layout.kind == "nchw":
        return event.parameters > 0
    return "Norm" in type(event.module).__name__  # a Linear among tokens is a part of attention or of an MLP


def _is_class_map(event: Event, found: Survey) -> bool:
    return (
        event.layout is not None
        and event.layout.kind == "nchw"
        and event.shape is not None
        and event.shape[1] == found.outputs
        and not any(
            isinstance(later.module, nn.Linear) for later in found.events[event.position + 1 :] if later.parameters
        )
    )


def _outermost(events: Sequence[Event], within: str) -> list[Event]:
    """Events (inside `within`) that stand in no other of these events."""
    inside = [e for e in events if not within or e.name.startswith(f"{within}.")]
    names = {e.name for e in inside}

    def enclosed(name: str) -> bool:
        parts = name.split(".")
        return any(".".join(parts[:i]) in names for i in range(1, len(parts)))

    return [e for e in inside if not enclosed(e.name)]
