"""What is done to a network, step by step, and the maps that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor

from camlucida.attribution import attributions
from camlucida.engine.randomise import Stage, stages, with_random
from camlucida.errors import ModelError
from camlucida.methods import Combined, Method
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.request import AttributionRequest
from camlucida.sanity_checks.verdict import Check

OTHERS = 5
"""Classes drawn at random for random_logit, besides the runner-up."""

BATCH = 8


@dataclass(frozen=True, eq=False)
class Subject:
    """The model and the pictures that all methods are checked on."""

    model: Model
    names: tuple[str, ...]
    inputs: Tensor
    layer: Any

    @cached_property
    def classes(self) -> Tensor:
        return self._logits.argmax(1)

    @cached_property
    def runner_up(self) -> Tensor:
        return self._logits.topk(2, dim=1).indices[:, 1]

    @property
    def width(self) -> int:
        return self._logits.shape[1]

    @cached_property
    def stages(self) -> list[Stage]:
        return stages(self.model.network)

    @cached_property
    def _logits(self) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            made = attributions(self.model, self.inputs, AttributionRequest(targets=[0], layers=[], methods=[]))
        return made.output

    def maps(self, model: Model, method: Method | Combined, classes: Tensor) -> Tensor:
        """The signed maps (n, h, w) of the pictures, each for its class."""
        found = []
        for rows in torch.split(torch.arange(len(self.inputs)), BATCH):
            made = attributions(
                model,
                self.inputs[rows],
                AttributionRequest(
                    targets=[classes[rows]], layers=[self.layer], methods=[(method, method.with_options({}))]
                ),
            )
            found.append(made.maps[0][0][0])
        return torch.cat(found)


Steps: TypeAlias = Iterator[tuple[str, float, int, Tensor]]
"""What was drawn anew, the share of stages that are, the seed, the maps (n, h, w)."""


def _cascade(subject: Subject, method: Method | Combined, seeds: int, *, upwards: bool = False) -> Steps:
    order = subject.stages[::-1] if upwards else subject.stages
    for seed in range(seeds):
        for count, stage in enumerate(order, start=1):
            yield stage.name, count / len(order), seed, _with(subject, method, order[:count], seed)


def _one_by_one(subject: Subject, method: Method | Combined, seeds: int) -> Steps:
    for seed in range(seeds):
        for stage in subject.stages:
            yield stage.name, 1 / len(subject.stages), seed, _with(subject, method, [stage], seed)


def _with(subject: Subject, method: Method | Combined, drawn: Sequence[Stage], seed: int) -> Tensor:
    network = with_random(subject.model.network, drawn, seed=seed)
    return subject.maps(replace(subject.model, network=network), method, subject.classes)


def _other_classes(subject: Subject, method: Method | Combined, seeds: int) -> Steps:
    yield "runner-up", 0.0, 0, subject.maps(subject.model, method, subject.runner_up)
    chance = torch.Generator().manual_seed(0)
    for number in range(min(OTHERS, subject.width - 1)):
        drawn = torch.randint(0, subject.width - 1, subject.classes.shape, generator=chance)
        other = drawn.to(subject.classes) + (drawn.to(subject.classes) >= subject.classes)
        yield f"class {number + 1} by lot", 0.0, 0, subject.maps(subject.model, method, other)


def _by_lot(subject: Subject, method: Method | Combined, seeds: int) -> Steps:
    if type(subject.model.network).__name__ != "ToyResNet":
        raise ModelError(
            "the check of labels drawn by lot is for toybox, where a network that learnt such is built in."
        )
    yield "labels by lot", 1.0, 0, subject.maps(load("toybox:permuted"), method, subject.classes)


STEPS: dict[Check, Callable[[Subject, Method | Combined, int], Steps]] = {
    "cascading": _cascade,
    "independent": _one_by_one,
    "smooth": lambda subject, method, seeds: _cascade(subject, method, seeds, upwards=True),
    "random_logit": _other_classes,
    "labels": _by_lot,
}


def count(subject: Subject, check: Check, seeds: int) -> int:
    """How many steps a check takes."""
    if check == "labels":
        return 1
    return 1 + min(OTHERS, subject.width - 1) if check == "random_logit" else seeds * len(subject.stages)
