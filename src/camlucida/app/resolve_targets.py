"""What the words of a question are to one of several models: its layers, its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from camlucida.attribution.outputs import to_network
from camlucida.engine import LayerSpec, copy_of, resolve
from camlucida.errors import LayerError, TargetError
from camlucida.models.model import Model
from camlucida.targets import class_label, parse

PLACES = {"predicted": 0, "runner-up": 1, "third": 2}
"""Targets by their place in what the model predicts."""


@dataclass(frozen=True)
class ResolvedTarget:
    """A target.

    key     as it was asked for
    name    what it is called
    index   its class, if it is one
    same    the key of an earlier target that is the same class
    """

    key: str
    name: str
    index: int | None = None
    same: str | None = None

    @property
    def means(self) -> int | str:
        """As it can be asked for."""
        return self.key if self.index is None else self.index


def layers_of(model: Model, inputs: Tensor, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The layers of these names, each once, or the default one; and of names that are none, why."""
    copy, batch = copy_of(model.network), to_network(model.network, inputs[None])
    have: dict[str, None] = {}
    faults: dict[str, str] = {}
    specs: Sequence[LayerSpec] = names or [model.layer]
    for spec in specs:
        try:
            have |= {layer.name: None for layer in resolve(copy, batch, [spec])}
        except LayerError as error:
            faults["" if spec is None else str(spec)] = str(error)
    return list(have), faults


def goals_of(
    model: Model, scores: Tensor, specs: Sequence[str | int], labels: Sequence[str]
) -> tuple[list[ResolvedTarget], dict[str, str]]:
    """The targets, each once; and of those that the model does not have, why.

    scores   (k,) of the picture
    labels   of the classes whose indices are given; another model's are found by name
    """
    goals: dict[str, ResolvedTarget] = {}
    faults: dict[str, str] = {}
    for key in _one_by_one(specs):
        try:
            goal = _goal(model, scores, key, labels)
        except TargetError as error:
            faults[key] = str(error)
            continue
        same = next((g.key for g in goals.values() if goal.index is not None and g.index == goal.index), None)
        goals[key] = ResolvedTarget(key, goal.name, goal.index, same)
    return list(goals.values()), faults


def _one_by_one(specs: Sequence[str | int]) -> list[str]:
    """Each once; "top3" as the three places it stands for."""
    return list(dict.fromkeys(key for spec in specs for key in (PLACES if spec == "top3" else [str(spec)])))


def _goal(model: Model, scores: Tensor, key: str, labels: Sequence[str]) -> ResolvedTarget:
    """Raises `TargetError`."""
    if key in PLACES:
        place = PLACES[key]
        if place >= len(scores):
            raise TargetError(f"there is no {key} class: the model knows {len(scores)}.")
        index = int(scores.topk(place + 1).indices[place])
        return ResolvedTarget(key, class_label(index, model.labels), index)
    spec: str | int = key
    if key.isdecimal() and tuple(labels) != model.labels:
        name = class_label(int(key[:9]), labels)
        if name not in model.labels:
            raise TargetError(f"the model has no class {name!r}.")
        spec = model.labels.index(name)
    targets = parse(spec, scores[None], model.labels)
    if len(targets) > 1:
        raise TargetError(f"{key[:80]} means several classes: name them one by one, or ask for top3.")
    index_ = getattr(targets[0], "index", None)
    return ResolvedTarget(key, targets[0].label(model.labels), None if index_ is None else int(index_))
