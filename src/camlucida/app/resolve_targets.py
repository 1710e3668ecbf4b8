"""Resolution of the layers and targets of a request for one of several models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from camlucida.attribution.network_inputs import model_inputs
from camlucida.attribution.output_reader import output_reader
from camlucida.engine import LayerSpec, copy_of, resolve
from camlucida.errors import LayerError, TargetError
from camlucida.models.image_targets import BoundTarget
from camlucida.models.model import Model
from camlucida.target_specs import parse
from camlucida.targets import class_label

RANKS = {"predicted": 0, "runner-up": 1, "third": 2}
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
    def spec(self) -> int | str:
        """The target as accepted by `camlucida.explain`."""
        return self.key if self.index is None else self.index


def layers_of(model: Model, inputs: Tensor, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the layers with these names without duplicates, or the default one, and the error of each unknown name."""
    copy, batch = copy_of(model.network), model_inputs(model, inputs[None])
    layers: dict[str, None] = {}
    errors: dict[str, str] = {}
    specs: Sequence[LayerSpec] = names or [model.layer]
    for spec in specs:
        try:
            layers |= {layer.name: None for layer in resolve(copy, batch, [spec], output_reader(model, copy, batch))}
        except LayerError as error:
            errors["" if spec is None else str(spec)] = str(error)
    return list(layers), errors


def resolve_targets(
    model: Model,
    scores: Tensor | None,
    specs: Sequence[str | int],
    labels: Sequence[str],
    bind: Callable[[str], Sequence[BoundTarget]] | None = None,
) -> tuple[list[ResolvedTarget], dict[str, str]]:
    """Return the distinct targets, and the error of each one that the model does not have.

    Args:
        model: The model.
        scores: The class scores of the image, `(k,)`; None for a model that has them only for its targets.
        specs: The targets as requested.
        labels: The class names that indices refer to; in a model with other labels, the class is found by its name.
        bind: Returns the boxes, regions or words of the image that a target means, for models that have such targets.

    Returns:
        The targets, and the errors by key.
    """
    targets: dict[str, ResolvedTarget] = {}
    errors: dict[str, str] = {}
    for key in _keys(specs):
        try:
            target = _resolve_in_image(model, key, bind) or _resolve(model, scores, key, labels)
        except TargetError as error:
            errors[key] = str(error)
            continue
        same = next((g.key for g in targets.values() if target.index is not None and g.index == target.index), None)
        targets[key] = ResolvedTarget(key, target.name, target.index, same)
    return list(targets.values()), errors


def _keys(specs: Sequence[str | int]) -> list[str]:
    """Return the targets as distinct keys, with "top3" expanded to its three ranks."""
    return list(dict.fromkeys(key for spec in specs for key in (RANKS if spec == "top3" else [str(spec)])))


def _resolve_in_image(
    model: Model, key: str, bind: Callable[[str], Sequence[BoundTarget]] | None
) -> ResolvedTarget | None:
    """Return the box, region or word of the image that a target means; None if it is a class.

    Raises:
        TargetError: There is no such box, region or word, or there are several.
    """
    if bind is None or key in RANKS or key.isdecimal():
        return None
    bound = bind(key)
    if len(bound) > 1:
        raise TargetError(f"{key[:80]} means several targets: {', '.join(one.label for one in bound[:8])}. Choose one.")
    return None if bound[0].model is model else ResolvedTarget(key, bound[0].label or key)


def _resolve(model: Model, scores: Tensor | None, key: str, labels: Sequence[str]) -> ResolvedTarget:
    """Resolve one target.

    Raises:
        TargetError: If the model does not have it.
    """
    if scores is None:
        raise TargetError(f"the model has no classes of the whole image, so {key[:80]!r} has no meaning for it.")
    if key in RANKS:
        rank = RANKS[key]
        if rank >= len(scores):
            raise TargetError(f"there is no {key} class: the model has {len(scores)} classes.")
        index = int(scores.topk(rank + 1).indices[rank])
        return ResolvedTarget(key, class_label(index, model.labels), index)
    spec: str | int = key
    if key.isdecimal() and tuple(labels) != model.labels:
        name = class_label(int(key[:9]), labels)
        if name not in model.labels:
            raise TargetError(f"the model has no class {name!r}.")
        spec = model.labels.index(name)
    parsed = parse(spec, scores[None], model.labels)
    if len(parsed) > 1:
        raise TargetError(f"{key[:80]} selects several classes: pass them one by one, or pass top3.")
    class_index = getattr(parsed[0], "index", None)
    name = parsed[0].label(model.labels)
    return ResolvedTarget(key, name, None if class_index is None else int(class_index))
