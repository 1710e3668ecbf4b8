"""Tasks of classifiers, and the activation that makes probabilities of their class scores.

The words are those of torchmetrics: "multiclass" (softmax over the classes), "multilabel" and "binary" (a sigmoid per
class) and "regression" (no probability; Hugging Face calls this `problem_type`). Everything that prints a percentage, a
margin, an entropy or a verdict takes it from an `OutputActivation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from camlucida.errors import ModelError, TargetError, nearest
from camlucida.option_types import Task
from camlucida.options import shown

TASKS: tuple[str, ...] = get_args(Task)


@dataclass(frozen=True)
class OutputActivation:
    """How the class scores of a network become probabilities.

    Attributes:
        task: The task; None where the output is an embedding, which has no classes.
        is_probability: Whether the class scores are probabilities already, because what precedes the network's last
            activation cannot be reached.
        source: From where this is known, as text.
    """

    task: Task | None = "multiclass"
    is_probability: bool = False
    source: str = ""

    @property
    def has_probabilities(self) -> bool:
        """Return whether the class scores have probabilities: not for regression, and not for embeddings."""
        return self.task in ("multiclass", "multilabel", "binary")

    @property
    def is_exclusive(self) -> bool:
        """Return whether the probabilities of the classes sum to 1."""
        return self.task == "multiclass"

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the probability of each class.

        Args:
            scores: Class scores `(..., k)`.

        Returns:
            Probabilities `(..., k)` in [0, 1]: a softmax over the classes, or a sigmoid per class; NaN where the task
            has none.
        """
        if not self.has_probabilities:
            return torch.full_like(scores, torch.nan)
        if self.is_probability:
            return scores
        return scores.softmax(-1) if self.is_exclusive else scores.sigmoid()

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """Return the logarithm of the probability of each class, with shapes as of `probabilities`, in nats."""
        if not self.has_probabilities:
            return torch.full_like(scores, torch.nan)
        if self.is_probability:
            return scores.clamp_min(torch.finfo(scores.dtype).tiny).log()
        return scores.log_softmax(-1) if self.is_exclusive else torch.nn.functional.logsigmoid(scores)

    def probability_of(self, score: float, known_score: float, known_probability: float) -> float:
        """Return the probability of a class by its score, given score and probability of another class of the image.

        NaN where the task has none.
        """
        if not self.has_probabilities:
            return math.nan
        if self.is_probability:
            return score
        if self.is_exclusive:
            return math.exp(score - known_score) * known_probability
        return float(torch.tensor(score, dtype=torch.float64).sigmoid())

    def measured(self, scores: Tensor) -> Tensor:
        """Return what curves and average drops measure: the probabilities, or the scores of a task without them."""
        return self.probabilities(scores) if self.has_probabilities else scores

    def log_measured(self, scores: Tensor) -> Tensor:
        """Return what tests compare: the log-probabilities, or the scores of a task without probabilities."""
        return self.log_probabilities(scores) if self.has_probabilities else scores

    def check_probabilities(self, score: str) -> None:
        """Raise `TargetError` if a score that is a probability was asked for and the task has none."""
        if not self.has_probabilities:
            raise TargetError(
                f"score={score!r} needs probabilities, and there are none: {self.describe()}. Use score='logit', or "
                "say what the outputs are with wrap(…, task='multiclass' | 'multilabel' | 'binary')."
            )

    def check_classes(self) -> None:
        """Raise `TargetError` if the output is an embedding, which has no classes that could be a target."""
        if self.task is None:
            raise TargetError(
                f"the network returns an embedding, not class scores: {self.source}. Give a target: the similarity to "
                "another image, like='b.jpg'; a text, for image-text models (wrap(clip, tokenizer=…), then "
                "target='text:a dog'); a callable that returns one score per image, "
                "target=lambda embedding: embedding @ text; or wrap(…, output=…) if another part holds class scores."
            )

    def describe(self) -> str:
        """Return task and activation as text, with the reason."""
        what = {
            "multiclass": "softmax over the classes",
            "multilabel": "sigmoid per class",
            "binary": "sigmoid",
            "regression": "the value itself",
            None: "no class scores",
        }[self.task]
        if self.is_probability and self.has_probabilities:
            what = "the output is a probability already"
        name = self.task or "embedding"
        return f"{name} ({what})" + (f": {self.source}" if self.source else "")


MULTICLASS = OutputActivation("multiclass")


def check_task(task: Any) -> Task | None:
    """Return a task unmodified.

    Raises:
        ModelError: It is none of the four.
    """
    if task is None or (isinstance(task, str) and task in TASKS):
        chosen: Task | None = task  # type: ignore[assignment]
        return chosen
    hint = nearest(task, TASKS) if isinstance(task, str) else ""
    raise ModelError(f"no task {shown(task)}.{hint} Known: {', '.join(TASKS)}.")


def check_probabilities_flag(probabilities: Any) -> bool | None:
    """Return the flag unmodified; raise `ModelError` if it is not True, False or None."""
    if probabilities is None or isinstance(probabilities, bool):
        return probabilities
    raise ModelError(
        f"probabilities is True (the network's output holds probabilities) or False, not {shown(probabilities)}."
    )


def expand_binary(scores: Tensor, activation: OutputActivation, n_labels: int) -> Tensor:
    """Return the scores `(b, 2)` of a binary network with one output and two class names, else the scores unmodified.

    The names are (negative, positive). The negative class has the score -z, whose sigmoid is 1 - sigmoid(z); or 1 - p
    where the output is a probability.
    """
    if activation.task != "binary" or n_labels != 2 or scores.shape[-1] != 1:
        return scores
    return torch.cat([1 - scores if activation.is_probability else -scores, scores], -1)
