"""The targets of one image as classes of ordinary models, for what measures or tests one class of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from camlucida.attribution.bind_targets import bind_targets, spec_on_image
from camlucida.attribution.network_inputs import model_inputs
from camlucida.attribution.output_reader import output_reader, predict
from camlucida.attribution.outputs import to_network
from camlucida.attribution.read_scores import OutputReader
from camlucida.engine import copy_of
from camlucida.models.image_targets import BoundTarget
from camlucida.models.model import Model
from camlucida.target_specs import parse
from camlucida.targets import ClassScore, Contrast, Counterfactual, Target, TargetSpec
from camlucida.types import Geometry


@dataclass(frozen=True, eq=False)
class ClassTarget:
    """One target of one image as a class of a model.

    Attributes:
        model: The model: the one that was asked, or one whose output is read at a box, a region or a word.
        index: The class.
        logits: Class scores `(k,)` of the model.
        label: The target as text: "dog (box 3)".
        spec: What `explain` takes for it: "box 3"; empty if there is no such text.
        bound: What the target was bound to.
        is_class: Whether it is a class. If not, such as "cat rather than dog", its score is the model's only output.
        evidence_for: The class whose evidence is explained, among those of `bound.model`: that of "cat" in "cat rather
            than dog"; None for a callable.
        is_pinned: Whether it is read from the same candidate of a detector, by its number, whatever the weights.
    """

    model: Model
    index: int
    logits: Tensor
    label: str
    spec: str
    bound: BoundTarget
    is_class: bool = True
    evidence_for: int | None = None
    is_pinned: bool = False


@dataclass(frozen=True, eq=False)
class TargetScores:
    """Reads the score `(b, 1)` of a target that is no class, such as "cat rather than dog", from a network's output.

    Attributes:
        reader: Reads the class scores.
        target: The target.
    """

    reader: OutputReader
    target: Target

    def __call__(self, output: Any) -> Tensor:
        """Return the scores `(b, 1)`."""
        return self.target(self.reader(output))[:, None]


def class_targets(
    model: Model, inputs: Tensor, specs: Sequence[TargetSpec], geometry: Geometry, *, pinned: bool = False
) -> list[ClassTarget]:
    """Return every target of one image as a class of a model, in order.

    Args:
        model: The model.
        inputs: Network input `(c, H, W)`.
        specs: Targets as `explain` takes them; points are in pixels of the image.
        geometry: Position of the network input on the image.
        pinned: Whether a box is read from its candidate's number where the detector has a fixed order of candidates:
            for checks that change the weights, which move the boxes.

    Raises:
        TargetError: There is no such box, region, word or class; the message lists what there is.
    """
    bound = bind_targets(model, inputs, specs, geometry)
    if pinned:
        models = [_pinned(each.model, inputs) for each in bound]
        return [
            replace(found, is_pinned=model is not one.model)
            for one, model in zip(bound, models, strict=True)
            for found in _classes(replace(one, model=model), inputs, geometry)
        ]
    return [found for one in bound for found in _classes(one, inputs, geometry)]


def _pinned(model: Model, inputs: Tensor) -> Model:
    """Return a model that is read at the same candidate by its number; the same model where that is not known.

    The scores must be those of the unmodified reader, which is verified on the image.
    """
    pin = getattr(model.output, "pinned", None)
    if pin is None or not getattr(model.network, "fixed_order", False):
        return model
    batch = to_network(model.network, inputs[None])
    with torch.inference_mode(False), torch.no_grad():
        reader = pin(copy_of(model.network).module(batch.clone()))
    if reader is None:
        return model
    by_number = replace(model, output=reader)
    before, after = (predict(each, batch.clone())[0] for each in (model, by_number))
    return by_number if torch.equal(before, after) else model


def _classes(bound: BoundTarget, inputs: Tensor, geometry: Geometry) -> Iterator[ClassTarget]:
    """Yield the classes that a bound target means: several for "top3"."""
    model, batch = bound.model, to_network(bound.model.network, inputs[None])
    scores, activation = predict(model, batch.clone())
    spec = spec_on_image(bound.spec, geometry)
    for target in parse(bound.target, scores, model.labels, activation=activation):
        label = spec_on_image(bound.label, geometry) or target.label(model.labels)
        index = _class_of(target)
        if isinstance(target, ClassScore) and index is not None:
            yield ClassTarget(model, index, scores[0], label, spec, bound, evidence_for=index)
        else:
            own = _model_of(model, batch, target, label)
            yield ClassTarget(own, 0, target(scores), label, spec, bound, is_class=False, evidence_for=index)


def _class_of(target: Target) -> int | None:
    """Return the class whose evidence a target shows: the first one of "cat rather than dog"."""
    if isinstance(target, Contrast):
        return _class_of(target.this)
    if isinstance(target, Counterfactual):
        return _class_of(target.target)
    if not isinstance(target, ClassScore):
        return None
    return target.index if isinstance(target.index, int) else int(target.index[0])


def _model_of(model: Model, inputs: Tensor, target: Target, label: str) -> Model:
    """Return the model whose only output is the score of a target that is no class."""
    with torch.inference_mode(False), torch.no_grad():
        reader = output_reader(model, copy_of(model.network), model_inputs(model, inputs))
    scores = TargetScores(reader, target)
    return replace(model, output=scores, labels=(label,), task="regression", probabilities=False)
