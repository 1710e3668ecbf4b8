"""The steps of each check, and the maps that result from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor

from camlucida.attribution.attributions import attributions
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
    """

    model: Model
    names: tuple[str, ...]
    inputs: Tensor
    layer: Any

    @cached_property
    def classes(self) -> Tensor:
        """Return the predicted classes `(n,)`."""
        return self._logits.argmax(1)

    @cached_property
    def runner_up(self) -> Tensor:
        """Return the second most probable classes `(n,)`."""
        return self._logits.topk(2, dim=1).indices[:, 1]

    @property
    def n_classes(self) -> int:
        """Return the number of classes."""
        return self._logits.shape[1]

    @cached_property
    def stages(self) -> list[Stage]:
        """Return the stages of the network, from the class scores downwards."""
        return stages(self.model.network)

    @cached_property
    def _logits(self) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            attribution = attributions(self.model, self.inputs, AttributionRequest(targets=[0], layers=[], methods=[]))
        return attribution.output

    def maps(self, model: Model, method: Method | Combined, classes: Tensor) -> Tensor:
        """Compute one signed map per image.

        Args:
            model: The model, or a copy with other weights.
            method: The attribution method.
            classes: The class to explain for each image `(n,)`.

        Returns:
            Maps `(n, h, w)`.
        """
        maps = []
        for rows in torch.split(torch.arange(len(self.inputs)), BATCH_SIZE):
            attribution = attributions(
                model,
                self.inputs[rows],
                AttributionRequest(
                    targets=[classes[rows]], layers=[self.layer], methods=[(method, method.with_options({}))]
                ),
            )
            maps.append(attribution.maps[0][0][0])
        return torch.cat(maps)


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
    return inputs.maps(replace(inputs.model, network=network), method, inputs.classes)


def _random_logits(inputs: SanityInputs, method: Method | Combined, seeds: int) -> Steps:
    """Yield the maps of the runner-up and of random classes."""
    yield "runner-up", 0.0, 0, inputs.maps(inputs.model, method, inputs.runner_up)
    generator = torch.Generator().manual_seed(0)
    for number in range(min(N_RANDOM_CLASSES, inputs.n_classes - 1)):
        sampled = torch.randint(0, inputs.n_classes - 1, inputs.classes.shape, generator=generator)
        classes = sampled.to(inputs.classes) + (sampled.to(inputs.classes) >= inputs.classes)
        yield f"random class {number + 1}", 0.0, 0, inputs.maps(inputs.model, method, classes)


def _random_labels(inputs: SanityInputs, method: Method | Combined, seeds: int) -> Steps:
    """Yield the maps of the toybox network that was trained on random labels."""
    if type(inputs.model.network).__name__ != "ToyResNet":
        raise ModelError("the check 'labels' needs a network trained on random labels, which only toybox has.")
    permuted = load("toybox:permuted", device=inputs.inputs.device)
    yield "random labels", 1.0, 0, inputs.maps(permuted, method, inputs.classes)


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
