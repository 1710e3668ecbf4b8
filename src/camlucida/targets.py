"""Targets: the score of the network's output that is explained, as functions from outputs to one score per image.

    Logit(281)                      the pre-softmax score: the default, as in the papers
    Probability(281)                the softmax probability
    LogProbability(281)             the logarithm of the softmax probability
    Contrast(Logit(281), Logit(243))   why this class rather than that one
    Counterfactual(Logit(281))      the negative evidence: the map of the negated score

Every target is a frozen value and a callable (b, k) -> (b,), and any other callable with that signature is a target
too (called `ClassifierOutputTarget` and the like in pytorch-grad-cam). `parse` makes targets from user input: a name,
an index, "top3", "cat rather than dog", "not cat".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from camlucida.errors import CamlucidaError, TargetError, nearest


@runtime_checkable
class Target(Protocol):
    """The interface of the targets of this package: a callable with a label."""

    def __call__(self, output: Tensor) -> Tensor:
        """Return the scores `(b,)` of an output `(b, k)`."""

    def of(self, image: int) -> Target:
        """Return the same target for variants of one image of the batch."""

    def label(self, names: Sequence[str]) -> str:
        """Return the target as text."""


TargetSpec: TypeAlias = int | str | Tensor | Callable[[Tensor], Tensor] | None
"""A class index or name, a tensor (b,) with one index per image, any callable, or None for the predicted class."""


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
                raise _out_of_range(self.index, scores)
            return scores[:, self.index]
        index = self.index.to(scores.device)
        if index.shape != scores.shape[:1]:
            raise TargetError(
                f"{tuple(index.shape)} target indices for a batch of {len(scores)} images: give one each."
            )
        if bool((index < 0).any() | (index >= scores.shape[1]).any()):
            raise _out_of_range(int(index.max() if index.max() >= scores.shape[1] else index.min()), scores)
        return scores.gather(1, index[:, None])[:, 0]


@dataclass(frozen=True)
class Logit(ClassScore):
    """The pre-softmax score of a class."""

    def __call__(self, output: Tensor) -> Tensor:
        return self._class_scores(output)


@dataclass(frozen=True)
class Probability(ClassScore):
    """The softmax probability of a class."""

    def __call__(self, output: Tensor) -> Tensor:
        return self._class_scores(output.softmax(1))

    def label(self, names: Sequence[str]) -> str:
        return f"probability of {super().label(names)}"


@dataclass(frozen=True)
class LogProbability(ClassScore):
    """The logarithm of the softmax probability of a class."""

    def __call__(self, output: Tensor) -> Tensor:
        return self._class_scores(output.log_softmax(1))

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
                f"{' '.join(str(error).split())[:200]}. A target takes them and returns one score an image."
            ) from error
        if not isinstance(scores, Tensor) or scores.shape != output.shape[:1]:
            shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise TargetError(
                f"{self.label(())} must give one score an image, shape ({len(output)},), but gave {shape}."
            )
        return scores

    def of(self, image: int) -> Custom:
        return self

    def label(self, names: Sequence[str]) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)


SCORES: dict[str, type[ClassScore]] = {
    "logit": Logit,
    "probability": Probability,
    "log_probability": LogProbability,
}
"""The scores of a class, by name."""


def parse(spec: TargetSpec, output: Tensor, names: Sequence[str], *, score: str = "logit") -> list[Target]:
    """Return the targets that a spec means for an output; several only for "top3" and the like.

    Args:
        spec: A class index or name, "top3", "A rather than B", "not A", a callable, a tensor `(b,)`, or None.
        output: Class scores of the network `(b, k)`, for the predicted classes.
        names: Names of the k classes; may be empty.
        score: Score of a class: "logit", "probability" or "log_probability".

    Raises:
        TargetError: A class is unknown (the message suggests similar names), an index is out of range, or the score is
            unknown.
    """
    if not isinstance(score, str) or score not in SCORES:
        raise TargetError(f"no score {score!r}.{nearest(str(score), SCORES)} Known: {', '.join(SCORES)}.")
    score_type = SCORES[score]
    if callable(spec) and not isinstance(spec, Tensor):
        return [spec if isinstance(spec, Target) else Custom(spec)]
    if isinstance(spec, Tensor) and spec.ndim:
        if spec.is_floating_point() or spec.is_complex() or spec.dtype is torch.bool:
            raise TargetError(f"target indices are whole numbers, one an image, but this tensor is {spec.dtype}.")
        target: Target = score_type(spec.long())
        target(output)
        return [target]
    if (top := parse_top_k(spec)) is not None:
        if top < 1:
            raise TargetError(f"{spec!r} are no classes: the likeliest are asked for as top1, top3 and so on.")
        return [score_type(classes) for classes in _top_classes(output, top)]
    return [_parse_target(spec, output, names, score_type)]


def parse_top_k(spec: Any) -> int | None:
    """Return the number of targets of "top3" and the like; None for everything else ("top hat" is a class)."""
    match = re.fullmatch(r"top[ _-]?([0-9]+)", spec.strip().lower()) if isinstance(spec, str) else None
    return (
        None if match is None else int(match[1]) if len(match[1]) < 19 else 10**18
    )  # int() refuses thousands of digits


def _parse_target(spec: Any, output: Tensor, names: Sequence[str], score_type: type[ClassScore]) -> Target:
    if isinstance(spec, str):
        this, separator, that = spec.partition(" rather than ")
        if separator:
            return Contrast(
                _parse_target(this, output, names, score_type), _parse_target(that, output, names, score_type)
            )
        if spec.lower().startswith(("not ", "against ")):
            return Counterfactual(_parse_target(spec.partition(" ")[2], output, names, score_type))
    return score_type(_resolve_class(spec, output, names))


def _resolve_class(spec: Any, output: Tensor, names: Sequence[str]) -> int | Tensor:
    """Return an index, or one per image for specs that depend on the prediction."""
    if spec is None or (isinstance(spec, str) and spec.strip().lower() in ("predicted", "prediction")):
        return output.argmax(1)
    if isinstance(spec, str) and spec.strip().lower() in ("runner-up", "runner up", "second"):
        return _top_classes(output, 2)[1]
    if isinstance(spec, str) and not re.fullmatch(r"\s*-?[0-9]{1,18}\s*", spec):
        return class_index(spec, names)
    try:
        index = int(spec) if isinstance(spec, str) else operator.index(spec)  # rejects 2.7
        if isinstance(spec, bool):
            raise TypeError
    except (TypeError, ValueError):
        raise TargetError(
            f"a target is a class name, an index, a (b,) tensor or a callable, not {type(spec).__name__}."
        ) from None
    if not 0 <= index < output.shape[1]:
        raise _out_of_range(index, output)
    return index


def class_index(name: str, names: Sequence[str]) -> int:
    """Return the index of the class called `name`, matched as a whole, as a synonym of an ImageNet name, or in part.

    Raises:
        TargetError: No class matches (the message suggests similar names), or several do.
    """
    if not names:
        raise TargetError(f"the class {name!r} has no meaning here: this model has no class names. Give an index.")
    query = _normalize_name(name)
    synonyms = [[_normalize_name(word) for word in full.split(",")] for full in names]
    exact = [i for i, full in enumerate(names) if _normalize_name(full) == query]
    matches = exact or [i for i, words in enumerate(synonyms) if query in words]
    matches = matches or [i for i, words in enumerate(synonyms) if any(query in word.split() for word in words)]
    matches = matches or [i for i, words in enumerate(synonyms) if any(query in word for word in words)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(f"{names[i]!r} ({i})" for i in matches[:8]) + (" …" if len(matches) > 8 else "")
        raise TargetError(f"{len(matches)} classes fit {name!r}: {listed}. Give the whole name or the index.")
    known = [word for words in synonyms for word in words]
    hint = nearest(query, known) or f" There are {len(names)}, from {names[0]!r} to {names[-1]!r}."
    raise TargetError(f"no class {name!r} in this model.{hint}")


def class_label(index: int, names: Sequence[str]) -> str:
    """Return the name of a class, or "class 7" where it has none."""
    return names[index] if 0 <= index < len(names) else f"class {index}"


def _top_classes(output: Tensor, n: int) -> list[Tensor]:
    """Return the `n` most likely classes, most likely first, each as a tensor `(b,)` with one index per image."""
    n = min(max(n, 1), output.shape[1])
    return list(torch.topk(output, n, dim=1).indices.unbind(1))


def _normalize_name(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _out_of_range(index: int, output: Tensor) -> TargetError:
    reason = "is no class" if index < 0 else f"needs at least {index + 1} outputs"
    return TargetError(f"target {index} {reason}; the model gave {output.shape[1]}: 0 to {output.shape[1] - 1}.")
