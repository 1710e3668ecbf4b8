"""Target specifications: targets from user input, such as a class name, "top3", "cat rather than dog" or "not cat"."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from camlucida.class_lookup import index_of, out_of_range
from camlucida.errors import TargetError, nearest
from camlucida.options import shown
from camlucida.targets import (
    SCORES,
    ClassScore,
    Contrast,
    Counterfactual,
    Custom,
    RegionTarget,
    Target,
    TargetSpec,
    with_activation,
)
from camlucida.tasks import MULTICLASS, OutputActivation

IMAGE_TARGETS = ("class:", "region:")
"""Beginnings of targets that are parts of one image, which only segmentation networks have."""


def parse(
    spec: TargetSpec,
    output: Tensor,
    names: Sequence[str],
    *,
    score: str = "logit",
    activation: OutputActivation = MULTICLASS,
) -> list[Target]:
    """Return the targets that a spec means for an output; several only for "top3" and the like.

    Args:
        spec: A class index or name, "top3", "A rather than B", "not A", a callable, a tensor `(b,)`, or None.
        output: Class scores of the network `(b, k)`, for the predicted classes.
        names: Names of the k classes; may be empty.
        score: Score of a class: "logit", "probability" or "log_probability".
        activation: How class scores become probabilities.

    Raises:
        TargetError: A class is unknown (the message suggests similar names), an index is out of range, the score is
            unknown or has no meaning for the task, or a class was asked for and the output is an embedding.
    """
    targets = _parse(spec, output, names, score, activation)
    return [with_activation(target, activation) for target in targets]


def _parse(
    spec: TargetSpec, output: Tensor, names: Sequence[str], score: str, activation: OutputActivation
) -> list[Target]:
    check_score(score)
    check_target(spec)
    score_type = SCORES[score]
    if isinstance(spec, RegionTarget) or (isinstance(spec, str) and spec.startswith(IMAGE_TARGETS)):
        what = spec if isinstance(spec, str) else "RegionTarget"
        raise TargetError(
            f"{what!r} is a region of an image, which segmentation networks have, and this model is none. For the "
            "class in the whole image give its name only; for class scores per pixel use "
            "wrap(network, task='segmentation')."
        )
    if callable(spec) and not isinstance(spec, Tensor):
        return [spec if isinstance(spec, Target) else Custom(spec)]
    activation.check_classes()
    if score != "logit":
        activation.check_probabilities(score)
    if isinstance(spec, Tensor) and spec.ndim:
        if spec.is_floating_point() or spec.is_complex() or spec.dtype is torch.bool:
            raise TargetError(f"target indices are integers, one per image, but this tensor is {spec.dtype}.")
        target: Target = score_type(spec.long())
        target(output)
        return [target]
    if (top := parse_top_k(spec)) is not None:
        return [score_type(classes) for classes in _top_classes(output, top)]
    return [_parse_target(spec, output, names, score_type)]


def parse_top_k(spec: Any) -> int | None:
    """Return the number of targets of "top3" and the like; None for everything else ("top hat" is a class)."""
    match = re.fullmatch(r"top[ _-]?([0-9]+)", spec.strip().lower()) if isinstance(spec, str) else None
    if match is None:
        return None
    return int(match[1]) if len(match[1]) < 19 else 10**18  # int() rejects thousands of digits


def check_target(spec: Any) -> None:
    """Raise `TargetError` for a value that cannot be a target, whatever the network returns."""
    if (top := parse_top_k(spec)) is not None and top < 1:
        raise TargetError(f"{spec!r} selects no class: use top1, top3 and so on for the most likely classes.")
    if spec is None or isinstance(spec, str | Tensor | RegionTarget) or callable(spec):
        return
    if isinstance(spec, bool) or not hasattr(type(spec), "__index__"):
        raise _not_a_target(spec)


def check_score(score: Any) -> None:
    """Raise `TargetError` for an unknown score of a class."""
    if not isinstance(score, str) or score not in SCORES:
        hint = nearest(score, SCORES) if isinstance(score, str) else ""
        raise TargetError(f"no score {shown(score)}.{hint} Known: {', '.join(SCORES)}.")


def _not_a_target(spec: Any) -> TargetError:
    return TargetError(f"a target is a class name, an index, a (b,) tensor or a callable, not {shown(spec)}.")


def _parse_target(spec: Any, output: Tensor, names: Sequence[str], score_type: type[ClassScore]) -> Target:
    if isinstance(spec, str):
        this, separator, that = spec.partition(" rather than ")
        if separator:
            return Contrast(
                _parse_target(this, output, names, score_type), _parse_target(that, output, names, score_type)
            )
        if spec.lower().startswith(("not ", "against ")) and spec.partition(" ")[2].strip():
            return Counterfactual(_parse_target(spec.partition(" ")[2], output, names, score_type))
    return score_type(_resolve_class(spec, output, names))


def _resolve_class(spec: Any, output: Tensor, names: Sequence[str]) -> int | Tensor:
    """Return an index, or one per image for specs that depend on the prediction."""
    if spec is None or (isinstance(spec, str) and spec.strip().lower() in ("predicted", "prediction")):
        return output.argmax(1)
    if isinstance(spec, str) and spec.strip().lower() in ("runner-up", "runner up", "second"):
        return _top_classes(output, 2)[1]
    if isinstance(spec, str):
        return index_of(spec, names, output.shape[1])
    try:
        index = operator.index(spec)
    except (TypeError, ValueError):  # a tensor or an array of one element that is not an integer
        raise _not_a_target(spec) from None
    if not 0 <= index < output.shape[1]:
        raise out_of_range(index, output.shape[1])
    return index


def _top_classes(output: Tensor, n: int) -> list[Tensor]:
    """Return the `n` most likely classes, most likely first, each as a tensor `(b,)` with one index per image."""
    n = min(max(n, 1), output.shape[1])
    return list(torch.topk(output, n, dim=1).indices.unbind(1))
