"""The steps of each check, and the maps that result from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from camlucida.attribution.attributions import attributions
from camlucida.attribution.class_targets import ClassTarget
from camlucida.attribution.request import AttributionRequest
from camlucida.engine.weight_randomization import Stage, randomize_weights, stages
from camlucida.errors import ModelError
from camlucida.methods import Combined, Method
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.sanity_checks.verdict import Check

N_RANDOM_CLASSES = 5
"""Number of random classes for random_logit, besides the runner-up."""

BATCH_SIZE = 8
"""Number of images explained in one batch."""


@dataclass(frozen=True, eq=False)
class SanityInputs:
    """The model and the images on which all methods are checked.

    Attributes:
        model: The model.
        names: Names of the images.
        inputs: Network inputs `(n, c, H, W)`.
        layer: Layer to explain; None for the method's default layer.
        targets: One target per input: an image with several targets is there several times. Empty for the predicted
            class of every image.
    """

    model: Model
    names: tuple[str, ...]
    inputs: Tensor
    layer: Any
    targets: tuple[ClassTarget, ...] = ()

    @cached_property
    def classes(self) -> Tensor:
        """Return the explained classes `(n,)`: those of the targets, or the predicted ones."""
        if self.targets:
            return torch.tensor([target.index for target in self.targets], device=self.inputs.device)
        return self._logits.argmax(1)

    @cached_property
    def runner_up(self) -> Tensor:
        """Return the most probable other classes `(n,)`."""
        if self.targets:
            both = [target.logits.topk(2).indices.tolist() for target in self.targets]
            others = [next(k for k in pair if k != own.index) for pair, own in zip(both, self.targets, strict=True)]
            return torch.tensor(others, device=self.inputs.device)
        return self._logits.topk(2, dim=1).indices[:, 1]

    @property
    def n_classes(self) -> int:
        """Return the number of classes; the smallest one, where targets have different classes."""
        if self.targets:
            return min(len(target.logits) for target in self.targets)
        return self._logits.shape[1]

    @cached_property
    def neighbours(self) -> Tensor:
        """Return for each input the index `(n,)` of the one before it that shows another image."""
        n = len(self.names)
        before = [[(i - step) % n for step in range(1, n + 1)] for i in range(n)]
        return torch.tensor(
            [next((j for j in row if self.names[j] != self.names[i]), row[0]) for i, row in enumerate(before)]
        )

    @cached_property
    def stages(self) -> list[Stage]:
        """Return the stages of the network, from the class scores downwards."""
        return stages(self.model.network)

    @cached_property
    def _logits(self) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            attribution = attributions(self.model, self.inputs, AttributionRequest(targets=[0], layers=[], methods=[]))
        return attribution.output

    def maps(self, network: nn.Module, method: Method | Combined, classes: Tensor) -> Tensor:
        """Compute one signed map per input. The network is read where the original one is: at the same box or word.

        Args:
            network: The network of the model, or a copy with other weights.
            method: The attribution method.
            classes: The class to explain for each image `(n,)`.

        Returns:
            Maps `(n, h, w)`.
        """
        maps = []
        for model, rows in self._batches():
            attribution = attributions(
                replace(model, network=network),
                self.inputs[rows],
                AttributionRequest(
                    targets=[classes[rows]], layers=[self.layer], methods=[(method, method.with_options({}))]
                ),
            )
            maps.append(attribution.maps[0][0][0])
        return torch.cat(maps)

    def _batches(self) -> Iterator[tuple[Model, Tensor]]:
        """Yield the inputs that one model can explain together, in order: it, and their indices."""
        models = [target.model for target in self.targets] or [self.model] * len(self.inputs)
        start = 0
        for end in range(1, len(models) + 1):
            if end == len(models) or models[end] is not models[start] or end - start == BATCH_SIZE:
                yield models[start], torch.arange(start, end)
                start = end


Steps: TypeAlias = Iterator[tuple[str, float, int, Tensor]]
"""Steps of a check: what was re-initialised (or the class), the fraction of stages that are re-initialised, the seed,
and the maps `(n, h, w)`.
"""


def _cascading(inputs: SanityInputs, method: Method | Combined, seeds: int, *, from_input: bool = False) -> Steps:
    """Yield the steps of cascading weight randomisation."""
    order = inputs.stages[::-1] if from_input else inputs.stages
    for seed in range(seeds):
        for n_stages, stage in enumerate(order, start=1):
            yield stage.name, n_stages / len(order), seed, _maps_with_random(inputs, method, order[:n_stages], seed)


def _independent(inputs: SanityInputs, method: Method | Combined, seeds: int) -> Steps:
    """Yield the steps of independent weight randomisation."""
    for seed in range(seeds):
        for stage in inputs.stages:
            yield stage.name, 1 / len(inputs.stages), seed, _maps_with_random(inputs, method, [stage], seed)


def _maps_with_random(
    inputs: SanityInputs, method: Method | Combined, randomized: Sequence[Stage], seed: int
) -> Tensor:
    """Return the maps of a copy of the network with re-initialised stages."""
    network = randomize_weights(inputs.model.network, randomized, seed=seed)
    return inputs.maps(network, method, inputs.classes)


def _random_logits(inputs: SanityInputs, method: Method | Combined, seeds: int) -> Steps:
    """Yield the maps of the runner-up and of random classes."""
    network = inputs.model.network
    yield "runner-up", 0.0, 0, inputs.maps(network, method, inputs.runner_up)
    generator = torch.Generator().manual_seed(0)
    for number in range(min(N_RANDOM_CLASSES, inputs.n_classes - 1)):
        sampled = torch.randint(0, inputs.n_classes - 1, inputs.classes.shape, generator=generator)
        classes = sampled.to(inputs.classes) + (sampled.to(inputs.classes) >= inputs.classes)
        yield f"random class {number + 1}", 0.0, 0, inputs.maps(network, method, classes)


def _random_labels(inputs: SanityInputs, method: Method | Combined, seeds: int) -> Steps:
    """Yield the maps of the toybox network that was trained on random labels."""
    if type(inputs.model.network).__name__ != "ToyResNet":
        raise ModelError("the check 'labels' needs a network trained on random labels, which only toybox has.")
    permuted = load("toybox:permuted", device=inputs.inputs.device)
    yield "random labels", 1.0, 0, inputs.maps(permuted.network, method, inputs.classes)


CHECK_STEPS: dict[Check, Callable[[SanityInputs, Method | Combined, int], Steps]] = {
    "cascading": _cascading,
    "independent": _independent,
    "smooth": lambda inputs, method, seeds: _cascading(inputs, method, seeds, from_input=True),
    "random_logit": _random_logits,
    "labels": _random_labels,
}


def n_steps(inputs: SanityInputs, check: Check, seeds: int) -> int:
    """Return the number of steps of a check."""
    if check == "labels":
        return 1
    return 1 + min(N_RANDOM_CLASSES, inputs.n_classes - 1) if check == "random_logit" else seeds * len(inputs.stages)
