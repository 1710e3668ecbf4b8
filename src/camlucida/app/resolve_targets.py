"""Resolution of the layers and targets of a request for one of several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from camlucida.attribution.outputs import ScoreSelector, to_network
from camlucida.engine import LayerSpec, copy_of, resolve
from camlucida.errors import LayerError, TargetError
from camlucida.models.model import Model
from camlucida.target_specs import parse
from camlucida.targets import class_label

PLACES = {"predicted": 0, "runner-up": 1, "third": 2}
"""Targets by their rank in the model's prediction."""


@dataclass(frozen=True)
class ResolvedTarget:
    """A target of one model.

    Attributes:
        key: The target as requested.
        name: The display name.
        index: The class index, if it is a class.
        same: The key of an earlier target with the same class.
    """

    key: str
    name: str
    index: int | None = None
    same: str | None = None

    @property
    def means(self) -> int | str:
        """The target as accepted by `camlucida.explain`."""
        return self.key if self.index is None else self.index


def layers_of(model: Model, inputs: Tensor, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the layers with these names without duplicates, or the default one, and the error of each unknown name."""
    copy, batch = copy_of(model.network), to_network(model.network, inputs[None])
    have: dict[str, None] = {}
    faults: dict[str, str] = {}
    specs: Sequence[LayerSpec] = names or [model.layer]
    for spec in specs:
        try:
            have |= {layer.name: None for layer in resolve(copy, batch, [spec], ScoreSelector(model.output))}
        except LayerError as error:
            faults["" if spec is None else str(spec)] = str(error)
    return list(have), faults


def goals_of(
    model: Model, scores: Tensor, specs: Sequence[str | int], labels: Sequence[str]
) -> tuple[list[ResolvedTarget], dict[str, str]]:
    """Return the distinct targets, and the error of each one that the model does not have.

    Args:
        model: The model.
        scores: The class scores of the image, `(k,)`.
        specs: The targets as requested.
        labels: The class names that indices refer to; in a model with other labels, the class is found by its name.

    Returns:
        The targets, and the errors by key.
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
    """Return the targets as distinct keys, with "top3" expanded to its three ranks."""
    return list(dict.fromkeys(key for spec in specs for key in (PLACES if spec == "top3" else [str(spec)])))


def _goal(model: Model, scores: Tensor, key: str, labels: Sequence[str]) -> ResolvedTarget:
    """Resolve one target.

    Raises:
        TargetError: If the model does not have it.
    """
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
