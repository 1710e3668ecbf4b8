"""Explain all targets of one image: one forward pass for all of them, one backward pass for each explained class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camlucida.attribution.attributions import Attribution, attributions
from camlucida.attribution.network_inputs import model_inputs
from camlucida.attribution.output_reader import output_reader, predict
from camlucida.attribution.predictions import check_finite
from camlucida.attribution.read_scores import OutputReader
from camlucida.audits.chunk_arrays import check_distinct_layers
from camlucida.audits.plan import AuditPlan, LayerRun
from camlucida.engine import LayerSpec, copy_of, resolve
from camlucida.errors import CamlucidaError
from camlucida.methods import Method
from camlucida.models.image_targets import BoundTarget
from camlucida.models.model import Model
from camlucida.tasks import OutputActivation

SHARED_NEEDS = frozenset({"activations", "gradients", "inputs"})
"""Inputs of methods that depend on the class scores by the gradient of the target's score only. All targets of an image
can then be read from one pass. Methods with other inputs explain each target by itself."""


@dataclass(frozen=True, eq=False)
class ExplainedTarget:
    """What was computed of one target.

    Attributes:
        scores: Class scores `(k,)` of the box, region or word.
        activation: How they become probabilities.
        competing: The class with the next highest score; the target's own if there is no other.
        maps: By method, the maps `(3, h, w)` of the target's class, of the competing class and of the true class; zero
            for the last if it is unknown.
        channels: Relevance `(3, c)` of each channel of the layer; None without a layer.
        means: Mean activation `(c,)` of each channel; None likewise.
    """

    scores: Tensor
    activation: OutputActivation
    competing: int
    maps: Mapping[str, Tensor]
    channels: Tensor | None = None
    means: Tensor | None = None


class _StackedScores:
    """Reads the class scores of several targets from one output of the network: `(b, k_1 + k_2 + …)`."""

    def __init__(self) -> None:
        self.readers: list[OutputReader] = []
        self.blocks: list[tuple[int, int]] = []

    def __call__(self, output: Any) -> Tensor:
        scores = [reader(output) for reader in self.readers]
        ends = np.cumsum([each.shape[1] for each in scores]).tolist()
        self.blocks = list(zip([0, *ends[:-1]], ends, strict=True))
        return torch.cat(scores, 1)

    def blocks_of(self, n: int) -> bool:
        """Return whether the classes of n targets are known, as they are if all targets so far had equally many."""
        sizes = {stop - start for start, stop in self.blocks}
        if len(sizes) != 1:
            return False
        (size,) = sizes
        self.blocks = [(i * size, (i + 1) * size) for i in range(n)]
        return True


@dataclass(frozen=True)
class _BlockScore:
    """The score of one class of one of the stacked targets, or of the class that competes with it.

    Attributes:
        start: Index of the target's first class.
        stop: Index after its last class.
        index: The class.
        competing: Whether the class with the highest score among the others is meant.
    """

    start: int
    stop: int
    index: int
    competing: bool = False

    def __call__(self, output: Tensor) -> Tensor:
        """Return the scores `(b,)`."""
        block = output[:, self.start : self.stop]
        if not self.competing:
            return block[:, self.index]
        return block.gather(1, competing_class(block.detach(), self.index)[:, None])[:, 0]

    def of(self, image: int) -> _BlockScore:
        return self

    def label(self, names: Sequence[str]) -> str:
        return f"class {self.index}"


def competing_class(scores: Tensor, index: int) -> Tensor:
    """Return the class `(b,)` with the highest score of all but one; that one itself if it is the only class.

    Args:
        scores: Class scores `(b, k)`.
        index: The class that is left out.
    """
    if scores.shape[1] == 1:
        return torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    others = scores.clone()
    others[:, index] = -torch.inf
    return others.argmax(1)


@dataclass(eq=False)
class TargetExplainer:
    """Explains the targets of the images of a chunk.

    What the readers of class scores conclude about the network, such as its activation, is concluded once.

    Attributes:
        plan: The plan of the audit.
    """

    plan: AuditPlan
    _stacked: _StackedScores = field(default_factory=_StackedScores)
    _reader: OutputReader | None = None
    _default: str | None = None

    def explain(
        self, inputs: Tensor, bound: Sequence[BoundTarget], labels: Sequence[int | None]
    ) -> list[ExplainedTarget | str]:
        """Explain the targets of one image.

        Args:
            inputs: Network input `(c, H, W)`.
            bound: The targets, whose classes are indices.
            labels: The true class of each; None if it is unknown.

        Returns:
            What was computed of each target, or the reason why it cannot be explained.

        Raises:
            CamlucidaError: The network fails on the image.
        """
        if not bound:
            return []
        batch = inputs[None]
        readers = [self._reader_of(each, batch) for each in bound]
        self._stacked.readers = readers
        model = replace(
            bound[0].model, output=self._stacked, labels=(), task="multilabel", probabilities=False, image_targets=None
        )
        shared = {i: self._shared(model, batch, run, bound, labels) for i, run in self._shared_runs}
        scores = next(iter(shared.values()))[1] if shared else self._scores(model, batch)
        explained: list[ExplainedTarget | str] = []
        for t, (each, reader) in enumerate(zip(bound, readers, strict=True)):
            competing = int(competing_class(scores[t], class_of(each))[0])
            parts = {i: of_run[0][t] for i, of_run in shared.items()}
            try:
                for i, run in enumerate(self.plan.runs):
                    if i not in parts or _is_zero(run, parts[i]):
                        parts[i] = _alone(each, batch, run, competing, labels[t])
            except CamlucidaError as error:
                explained.append(str(error))
                continue
            explained.append(self._joined(scores[t][0], reader.activation, competing, parts))
        return explained

    @property
    def _shared_runs(self) -> list[tuple[int, LayerRun]]:
        """The runs that explain all targets at once, with their numbers."""
        return [
            (i, run)
            for i, run in enumerate(self.plan.runs)
            if all(isinstance(method, Method) and SHARED_NEEDS.issuperset(method.needs) for method, _ in run.methods)
        ]

    def _reader_of(self, bound: BoundTarget, inputs: Tensor) -> OutputReader:
        if self._reader is None:
            arguments = model_inputs(bound.model, inputs)
            with torch.inference_mode(False), torch.no_grad():
                self._reader = output_reader(bound.model, copy_of(bound.model.network), arguments)
        return replace(self._reader, selector=bound.model.output)

    def _scores(self, model: Model, inputs: Tensor) -> list[Tensor]:
        """Return the class scores `(1, k)` of each target, from one forward pass."""
        output, _ = predict(model, inputs)
        return self._split(check_finite(output))

    def _split(self, output: Tensor) -> list[Tensor]:
        return [output[:, start:stop] for start, stop in self._stacked.blocks]

    def _shared(
        self,
        model: Model,
        inputs: Tensor,
        run: LayerRun,
        bound: Sequence[BoundTarget],
        labels: Sequence[int | None],
    ) -> tuple[list[_Part], list[Tensor]]:
        """Return what one run computes of each target, and the class scores `(1, k)` of each target."""
        with torch.inference_mode(False), torch.no_grad():
            if not self._stacked.blocks_of(len(bound)):
                self._scores(model, inputs)
        targets: list[_BlockScore] = []
        positions: list[tuple[int, int, int]] = []
        for each, label, (start, stop) in zip(bound, labels, self._stacked.blocks, strict=True):
            own = class_of(each)
            first = len(targets)
            targets += [_BlockScore(start, stop, own), _BlockScore(start, stop, own, competing=True)]
            if label is not None and label != own:
                targets.append(_BlockScore(start, stop, label))
            positions.append((first, first + 1, len(targets) - 1 if label not in (None, own) else first))
        result = attributions(
            model, inputs, replace(run.request(targets), layers=self._layers_of(run, bound[0], inputs))
        )
        check_distinct_layers(run, result)
        return [_Part.of(result, each) for each in positions], self._split(check_finite(result.output))

    def _layers_of(self, run: LayerRun, bound: BoundTarget, inputs: Tensor) -> list[LayerSpec]:
        """Return the layers of a run, with the default layer of a single target in place of None.

        The default layer of stacked class scores would be another one: they may read the network's answer itself.
        """
        if None not in run.layers:
            return list(run.layers)
        if self._default is None:
            model = bound.model
            copy, arguments = copy_of(model.network), model_inputs(model, inputs)
            with torch.inference_mode(False), torch.no_grad():
                read = output_reader(model, copy, arguments)
                (layer,) = resolve(copy, arguments, [model.layer], read)
            self._default = layer.name
        return [self._default if spec is None else spec for spec in run.layers]

    def _joined(
        self, scores: Tensor, activation: OutputActivation, competing: int, parts: Mapping[int, _Part]
    ) -> ExplainedTarget:
        maps: list[Tensor] = [torch.zeros(0)] * len(self.plan.explainers)
        channels = means = None
        for i, run in enumerate(self.plan.runs):
            for position, m, l in run.cells:
                maps[position] = parts[i].maps[m][l]
            if run.channels and parts[i].channels is not None:
                channels, means = parts[i].channels, parts[i].means
        named = dict(zip(self.plan.method_names, maps, strict=True))
        return ExplainedTarget(scores.float().cpu(), activation, competing, named, channels, means)


def class_of(bound: BoundTarget) -> int:
    """Return the class of a target, an output of its model."""
    target: Any = bound.target
    return int(target)


@dataclass(frozen=True, eq=False)
class _Part:
    """What one run computed of one target: the maps `(3, h, w)` by method and layer, and as of `ExplainedTarget`."""

    maps: tuple[tuple[Tensor, ...], ...]
    channels: Tensor | None
    means: Tensor | None

    @classmethod
    def of(cls, result: Attribution, positions: Sequence[int]) -> _Part:
        """Return the part of a result of one image for the target's own, the competing and the true class."""
        maps = tuple(
            tuple(torch.stack([row[t][0].float().cpu() for t in positions]) for row in of_method)
            for of_method in result.maps
        )
        channels = means = None
        if result.channel_relevance:
            channels = torch.stack([result.channel_relevance[0][t][0].float().cpu() for t in positions])
            means = result.channel_means[0][0].detach().float().cpu()
        return cls(maps, channels, means)


def _alone(bound: BoundTarget, inputs: Tensor, run: LayerRun, competing: int, label: int | None) -> _Part:
    """Return what a run computes of one target, explained by itself as `explain` does."""
    own = class_of(bound)
    classes = list(dict.fromkeys([own, competing, own if label is None else label]))
    result = attributions(bound.model, inputs, run.request(classes))
    check_distinct_layers(run, result)
    return _Part.of(result, [classes.index(c) for c in (own, competing, own if label is None else label)])


def _is_zero(run: LayerRun, part: _Part) -> bool:
    """Return whether the target's own map of a method that depends on the class is zero everywhere.

    The layer of the shared pass may not influence this target; explained by itself it has another layer, or an error.
    """
    return any(
        not method.class_free and not any(bool(map_[0].any()) for map_ in row)
        for (method, _), row in zip(run.methods, part.maps, strict=True)
    )
