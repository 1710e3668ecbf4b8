"""Recognise the class scores in a network's first output, and how they become probabilities.

The first output decides which part holds the class scores, whether the network ends in a softmax or sigmoid (then its
input is read instead), and the task. What is concluded from values is checked on further inputs, and
`OutputActivation.source` says what was concluded and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.attribution.output_parts import as_class_scores, find_part, unit_norm
from camlucida.attribution.read_scores import OutputReader
from camlucida.engine import NetworkCopy, nested
from camlucida.engine.final_activation import (
    ActivationName,
    apply_activation,
    final_activation,
)
from camlucida.engine.image_axes import is_image
from camlucida.engine.module_calls import first_image, profiled_output
from camlucida.engine.named_inputs import call_network
from camlucida.errors import TargetError
from camlucida.models.model import Model
from camlucida.option_types import Task
from camlucida.tasks import OutputActivation

PROBE_SCALES = (1.0, 3.0, 10.0, 30.0, 100.0, -100.0)
"""Scales of the noise images on which outputs within [0, 1] are checked. Large inputs drive a sigmoid to 0 and 1, and
scores that only happen to lie within [0, 1] out of it.
"""

N_LARGE = 3
"""Number of the last scales that drive a sigmoid to its ends."""

SUM_TOLERANCE = 1e-3
"""Tolerance of the sum of probabilities, which half precision rounds."""

SATURATED = 1e-3
"""Maximum distance from 0 or 1 of a saturated sigmoid."""


@dataclass(frozen=True)
class ReaderBuilder:
    """Recognises the output of one network, and builds the reader of its class scores.

    Attributes:
        model: The model.
        copy: The copy of its network.
        inputs: Network inputs, of which the first image is run.
    """

    model: Model
    copy: NetworkCopy
    inputs: Any

    def build(self) -> OutputReader:
        """Return the reader of the class scores.

        Raises:
            TargetError: The output has no such part, or the model's task or `probabilities` contradict it.
        """
        model, n_labels = self.model, len(self.model.labels)
        output = profiled_output(self.copy, self.inputs)
        part = find_part(output, model.output, n_labels=n_labels)
        selected = part.select(output, model.output)
        scores = as_class_scores(selected, 1)
        if embedding := part.embedding or self._embedding(scores):
            activation = OutputActivation(None, source=embedding)
            return OutputReader(model.output, part, activation, None, n_labels)
        final = final_activation(selected)
        name = None if final is None else _verified(final.name, final.inputs, scores)
        activation, final_name = self._recognise(scores, name)
        if part.reason:
            activation = OutputActivation(
                activation.task, activation.is_probability, f"{activation.source}; class scores: {part.reason}"
            )
        return OutputReader(model.output, part, activation, final_name, n_labels)

    def _recognise(
        self, scores: Tensor, final: ActivationName | None
    ) -> tuple[OutputActivation, ActivationName | None]:
        """Return the activation, and the last activation of the network if its input is to be read."""
        given, flag, k = self.model.task, self.model.probabilities, scores.shape[1]
        metadata, why = metadata_task(self.copy.module, k)
        task = given or metadata
        source = f"given: task={given!r}" if given else why
        if flag is False:
            task = task or _default_task(k)
            source = _join(source, "given: probabilities=False, the outputs are taken as scores")
            return OutputActivation(task, source=source), None
        if task == "multiclass" and k == 1:
            raise TargetError(
                "task='multiclass' is a softmax over two or more outputs, and this network has one. Use task='binary' "
                "for a sigmoid, or 'regression' for a value."
            )
        if task == "binary" and k > 1:
            raise TargetError(
                f"task='binary' is a sigmoid of one output, and this network has {k}. Use task='multiclass' for a "
                "softmax over them, or 'multilabel' for a sigmoid of each."
            )
        if final == "tanh" and task is None:
            task, source = "regression", "the network ends in a tanh, whose values are no probabilities"
        if task == "regression":
            return OutputActivation(task, source=source), None
        if final in ("hardsigmoid", "tanh"):  # what precedes it has no probability of its own
            flag, final = (flag or final == "hardsigmoid"), None
        if final is not None:
            own = _task_of(final, k)
            fits = task is None or k == 1 or (task == "multiclass") == (own == "multiclass")
            ends = f"the network ends in a {final}, whose input is read as the class scores"
            if fits:
                return OutputActivation(task or own, source=_join(source, ends)), final
            if final.startswith("log_"):
                raise TargetError(
                    f"task={task!r} contradicts the network, which ends in a {final}. Leave the "
                    "task out, or use probabilities=False to read its outputs as scores."
                )
            kept = (
                f"the network ends in a {final}, which is another task's activation: its outputs are taken as they are"
            )
            return OutputActivation(task, True, _join(source, kept)), None
        if flag:
            _check_unit_interval(scores)
            sums = _sums_to_one(scores)
            task = task or ("multiclass" if sums else _default_task(k, exclusive=False))
            why = "given: probabilities=True" if self.model.probabilities else "the network ends in a hardsigmoid"
            return OutputActivation(task, True, _join(source, why)), None
        probed, values = self._holds_probabilities(scores, task)
        if probed is not None:
            return OutputActivation(task or probed, True, _join(source, values)), None
        task = task or _default_task(k)
        one = "one output" if k == 1 else f"{k} outputs without an activation"
        return OutputActivation(task, source=source or f"recognised: {one}"), None

    def _holds_probabilities(self, scores: Tensor, task: Task | None) -> tuple[Task | None, str]:
        """Return the task whose probabilities the outputs are, by their values on this image and on noise."""
        if not _within_unit_interval(scores):
            return None, ""
        k = scores.shape[1]
        if k > 1 and _sums_to_one(scores) and task in (None, "multiclass"):
            (noise,) = self._noise_scores(PROBE_SCALES[:1])
            if _within_unit_interval(noise) and _sums_to_one(noise):
                return "multiclass", "recognised: the outputs lie within [0, 1] and sum to 1"
        if task == "multiclass":
            return None, ""
        probes = self._noise_scores(PROBE_SCALES)
        values, large = torch.cat([scores, *probes]), torch.cat(probes[-N_LARGE:])
        saturated = ((large < SATURATED) | (large > 1 - SATURATED)).double().mean() >= 0.5
        # A ReLU that is inactive returns exactly 0 everywhere; a sigmoid only comes near it.
        is_sigmoid = bool(((values > 1 - SATURATED) | ((values > 0) & (values < SATURATED))).any())
        if _within_unit_interval(values) and bool(saturated) and is_sigmoid:
            return _default_task(k, exclusive=False), (
                "recognised: the outputs stay within [0, 1] and come near its ends on large inputs, as a sigmoid does"
            )
        return None, ""

    def _noise_scores(self, scales: tuple[float, ...]) -> list[Tensor]:
        """Return the scores `(1, k)` of noise images with these scales, as the network returns them."""
        generator = torch.Generator().manual_seed(0)
        selector, image = self.model.output, first_image(self.inputs)

        def noise(scale: float, _: nested.Path, tensor: Tensor) -> Tensor:
            if not is_image(tensor) or not tensor.is_floating_point():
                return tensor.clone()
            return torch.randn(tensor.shape, generator=generator).to(tensor) * scale

        scores = []
        with torch.inference_mode(False), torch.no_grad():
            for scale in scales:
                inputs = nested.transform(image, partial(noise, scale))
                output = call_network(self.copy.module, inputs)
                part = find_part(output, selector, n_labels=len(self.model.labels))
                scores.append(as_class_scores(part.select(output, selector), 1))
        return scores

    def _embedding(self, scores: Tensor) -> str:
        """Return why the scores are an embedding; "" if they are class scores."""
        if callable(self.model.output) and self.model.task is not None:
            return ""  # scores of prompts or references, which the callable computes from an embedding
        is_timm = callable(getattr(self.copy.module, "reset_classifier", None))
        if is_timm and getattr(self.copy.module, "num_classes", None) == 0:
            return "the network has no classifier (num_classes=0 in timm)"
        if callable(self.model.output) or len(self.model.labels) == scores.shape[1] or not unit_norm(scores):
            return ""
        (noise,) = self._noise_scores(PROBE_SCALES[:1])
        return f"its {scores.shape[1]} outputs have length 1 and negative entries" if unit_norm(noise) else ""


def metadata_task(network: nn.Module, n_outputs: int) -> tuple[Task | None, str]:
    """Return the task in a network's Hugging Face configuration, and where it is written; (None, "") without one."""
    config = getattr(network, "config", None)
    problem_type = getattr(config, "problem_type", None)
    tasks: dict[str, Task] = {
        "regression": "regression",
        "single_label_classification": "multiclass",
        "multi_label_classification": "binary" if n_outputs == 1 else "multilabel",
    }
    if isinstance(problem_type, str) and problem_type in tasks:
        return tasks[problem_type], f"config.problem_type is {problem_type!r}"
    if str(getattr(config, "model_type", "")).startswith("siglip") and hasattr(network, "logit_scale"):
        return ("binary" if n_outputs == 1 else "multilabel"), "SigLIP has a sigmoid per text"
    if getattr(config, "model_type", None) is not None and n_outputs == 1:
        if hasattr(network, "logit_scale"):
            return "regression", "the similarity to one text"
        if getattr(config, "num_labels", None) == 1:
            return "regression", "config.num_labels is 1, a regression in transformers"
    return None, ""


def _verified(name: ActivationName, inputs: Tensor, scores: Tensor) -> ActivationName | None:
    """Return the name if the activation over the classes of its input gives the scores, else None."""
    before = as_class_scores(inputs)
    if before.shape != scores.shape:
        return None
    given, wanted = apply_activation(name, before.double()), scores.double()
    return name if torch.allclose(given, wanted, rtol=2e-2, atol=1e-3) else None


def _task_of(final: ActivationName, k: int) -> Task:
    return _default_task(k, exclusive=final.endswith("softmax"))


def _default_task(k: int, *, exclusive: bool = True) -> Task:
    if k == 1:
        return "binary"
    return "multiclass" if exclusive else "multilabel"


def _within_unit_interval(scores: Tensor) -> bool:
    return bool(((scores >= 0) & (scores <= 1 + SUM_TOLERANCE)).all())


def _sums_to_one(scores: Tensor) -> bool:
    return bool(((scores.double().sum(1) - 1).abs() < SUM_TOLERANCE).all())


def _check_unit_interval(scores: Tensor) -> None:
    if not _within_unit_interval(scores):
        low, high = float(scores.min()), float(scores.max())
        raise TargetError(
            f"probabilities=True says that the outputs are probabilities, but they reach from {low:.3g} to {high:.3g}. "
            "Leave it out, and the activation of the task is applied."
        )


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
