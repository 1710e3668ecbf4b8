"""Targets: the score of the network's output that is explained, as functions from outputs to one score per image.

    Logit(281)                      the pre-softmax score: the default, as in the papers
    Probability(281)                the probability: a softmax, or a sigmoid for multi-label and binary networks
    LogProbability(281)             the logarithm of the probability
    Contrast(Logit(281), Logit(243))   why this class rather than that one
    Counterfactual(Logit(281))      the negative evidence: the map of the negated score

Every target is a frozen value and a callable (b, k) -> (b,), and any other callable with that signature is a target
too (called `ClassifierOutputTarget` and the like in pytorch-grad-cam).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from camlucida.class_lookup import class_label as class_label
from camlucida.class_lookup import out_of_range
from camlucida.errors import CamlucidaError, TargetError
from camlucida.tasks import MULTICLASS, OutputActivation
from camlucida.types import RegionTarget as RegionTarget


@runtime_checkable
class Target(Protocol):
    """The interface of the targets of this package: a callable with a label."""

    def __call__(self, output: Tensor) -> Tensor:
        """Return the scores `(b,)` of an output `(b, k)`."""

    def of(self, image: int) -> Target:
        """Return the same target for variants of one image of the batch."""

    def label(self, names: Sequence[str]) -> str:
        """Return the target as text."""


TargetSpec: TypeAlias = int | str | Tensor | Callable[[Tensor], Tensor] | RegionTarget | None
"""A class index or name, a tensor (b,) with one index per image, any callable, a region, or None for the predicted
class."""


@dataclass(frozen=True)
class ClassScore:
    """A score of one class.

    Attributes:
        index: Index of the class, or a tensor `(b,)` with one index per image.
    """

    index: int | Tensor

    def __call__(self, output: Tensor) -> Tensor:
        raise NotImplementedError  # implemented by each kind of score

    def of(self, image: int) -> ClassScore:
        """Return the same score for variants of one image of the batch."""
        return self if isinstance(self.index, int) else replace(self, index=int(self.index[image]))

    def label(self, names: Sequence[str]) -> str:
        """Return the name of the class."""
        index = self.index if isinstance(self.index, int) else int(self.index[0])
        return class_label(index, names)

    def _class_scores(self, scores: Tensor) -> Tensor:
        if isinstance(self.index, int):
            if not 0 <= self.index < scores.shape[1]:
                raise out_of_range(self.index, scores.shape[1])
            return scores[:, self.index]
        index = self.index.to(scores.device)
        if index.shape != scores.shape[:1]:
            raise TargetError(
                f"{tuple(index.shape)} target indices for a batch of {len(scores)} images: give one index per image."
            )
        if bool((index < 0).any() | (index >= scores.shape[1]).any()):
            raise out_of_range(int(index.max() if index.max() >= scores.shape[1] else index.min()), scores.shape[1])
        return scores.gather(1, index[:, None])[:, 0]


@dataclass(frozen=True)
class Logit(ClassScore):
    """The class score as the network computes it before the softmax or sigmoid."""

    def __call__(self, output: Tensor) -> Tensor:
        return self._class_scores(output)


@dataclass(frozen=True)
class Probability(ClassScore):
    """The probability of a class.

    Attributes:
        activation: How class scores become probabilities; None for that of the network that is explained, and a softmax
            outside of it.
    """

    activation: OutputActivation | None = None

    def __call__(self, output: Tensor) -> Tensor:
        activation = self.activation or MULTICLASS
        activation.check_probabilities("probability")
        return self._class_scores(activation.probabilities(output))

    def label(self, names: Sequence[str]) -> str:
        return f"probability of {super().label(names)}"


@dataclass(frozen=True)
class LogProbability(ClassScore):
    """The logarithm of the probability of a class.

    Attributes:
        activation: As of `Probability`.
    """

    activation: OutputActivation | None = None

    def __call__(self, output: Tensor) -> Tensor:
        activation = self.activation or MULTICLASS
        activation.check_probabilities("log_probability")
        return self._class_scores(activation.log_probabilities(output))

    def label(self, names: Sequence[str]) -> str:
        return f"log probability of {super().label(names)}"


@dataclass(frozen=True)
class Contrast:
    """The difference of two targets: why `this` rather than `that`.

    Attributes:
        this: The target with the positive sign.
        that: The target with the negative sign.
    """

    this: Target
    that: Target

    def __call__(self, output: Tensor) -> Tensor:
        return self.this(output) - self.that(output)

    def of(self, image: int) -> Contrast:
        return Contrast(self.this.of(image), self.that.of(image))

    def label(self, names: Sequence[str]) -> str:
        return f"{self.this.label(names)} rather than {self.that.label(names)}"


@dataclass(frozen=True)
class Counterfactual:
    """The negated score of a target, whose maps show the negative evidence (Selvaraju et al., ICCV 2017, section 3.3).

    Attributes:
        target: The target.
    """

    target: Target

    def __call__(self, output: Tensor) -> Tensor:
        return -self.target(output)

    def of(self, image: int) -> Counterfactual:
        return Counterfactual(self.target.of(image))

    def label(self, names: Sequence[str]) -> str:
        return f"against {self.target.label(names)}"


@dataclass(frozen=True)
class Custom:
    """Any callable (b, k) -> (b,), whose result is checked when it is called.

    Attributes:
        function: The callable.
    """

    function: Callable[[Tensor], Tensor]

    def __call__(self, output: Tensor) -> Tensor:
        try:
            scores = self.function(output)
        except CamlucidaError:
            raise
        except Exception as error:
            raise TargetError(
                f"the target {self.label(())} raised {type(error).__name__} for class scores {tuple(output.shape)}: "
                f"{' '.join(str(error).split())[:200]}. A target takes class scores and returns one score per image."
            ) from error
        if not isinstance(scores, Tensor) or scores.shape != output.shape[:1]:
            shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise TargetError(
                f"{self.label(())} must return one score per image, shape ({len(output)},), but returned {shape}."
            )
        return scores

    def of(self, image: int) -> Custom:
        return self

    def label(self, names: Sequence[str]) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)


def with_activation(target: Target, activation: OutputActivation) -> Target:
    """Return a target whose probabilities are those of an activation, unless it has its own.

    A softmax is what targets have without one, so they remain unmodified for it.
    """
    if activation.task == "multiclass" and not activation.is_probability:
        return target
    if isinstance(target, Probability | LogProbability):
        return target if target.activation is not None else replace(target, activation=activation)
    if isinstance(target, Contrast):
        return Contrast(with_activation(target.this, activation), with_activation(target.that, activation))
    if isinstance(target, Counterfactual):
        return Counterfactual(with_activation(target.target, activation))
    return target


SCORES: dict[str, type[ClassScore]] = {
    "logit": Logit,
    "probability": Probability,
    "log_probability": LogProbability,
}
"""The scores of a class, by name."""
