"""Find the class scores in the output of a network: the one tensor with one row per image and one column per class.

Networks return a tensor, a tuple, a dict or a `ModelOutput`. The part is taken by its standard name, or because it is
the only one of that shape. Where two parts fit, the choice is the user's. The boxes of a detector, hidden states and
embeddings have the shape of class scores too, and are none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlucida.engine import nested
from camlucida.engine.final_activation import apply_activation, final_activation
from camlucida.errors import TargetError
from camlucida.models.model import Output

SCORE_NAMES = ("logits", "logits_per_image", "out")
"""Names of class scores in outputs: Hugging Face, CLIP, and torchvision."""
EMBEDDING_NAMES = ("image_embeds", "pooler_output")
"""Names of embeddings `(b, d)` in outputs of Hugging Face."""
NO_SCORE_NAMES = (
    *("loss", "aux", "aux_logits", "hidden_states", "attentions", "last_hidden_state", "past_key_values"),
    *("text_embeds", "logits_per_text", "vision_model_output", "text_model_output", *EMBEDDING_NAMES),
)
"""Names of parts that are never the class scores."""
DETECTION_NAMES = frozenset({"boxes", "pred_boxes"})

USE_OUTPUT = "Say which part of the output holds the class scores: wrap(network, output=…), {}."
_DETECTOR = (
    "the network is an object detector: its output holds boxes ({}), which are no class scores. Detectors "
    "of torchvision are explained as they are, wrap(detector). For others there are two ways: a module around it that "
    "returns its candidates before non-maximum suppression, see camlucida.models.detection.candidates, passed to "
    "camlucida.models.detection.targets.detector_model, explains every box; wrap(network, output=function), where the "
    "function returns scores (images, classes), such as the highest score of each class over the boxes, explains the "
    "classes of the whole image."
)


@dataclass(frozen=True)
class ScorePart:
    """The part of an output that holds the class scores.

    Attributes:
        path: Keys, indices or attribute names that lead to it; None if a callable of the user selects it.
        embedding: Why the part is an embedding and not class scores; empty if it is not.
        reason: Why this part was chosen; empty where there was no choice.
    """

    path: nested.Path | None
    embedding: str = ""
    reason: str = ""

    def select(self, output: Any, selector: Output) -> Any:
        """Return the part of an output of the same network."""
        if self.path is None:
            assert callable(selector)
            return selector(output)
        for key in self.path:
            by_key = isinstance(output, Mapping) or isinstance(key, int)
            output = output[key] if by_key else getattr(output, str(key))
        return output


def find_part(output: Any, selector: Output = None, *, n_labels: int = 0) -> ScorePart:
    """Find the class scores in an output.

    Args:
        output: The output of the network.
        selector: A key or index of the output, a callable, or None.
        n_labels: Number of class names, which decides between parts that fit equally well; 0 if unknown.

    Raises:
        TargetError: There is no such part, several parts fit, or the network is a detector.
    """
    if callable(selector):
        return ScorePart(None)
    if selector is not None:
        return ScorePart(_named_part(output, selector))
    _check_no_detector(output)
    if isinstance(output, Tensor):
        return ScorePart(())
    parts = _parts(output)
    for name in SCORE_NAMES:
        if isinstance(parts.get(name), Tensor):
            return ScorePart((name,), reason=f"the part {name!r} of the output")
    candidates = {
        key: part
        for key, part in parts.items()
        if isinstance(part, Tensor) and str(key) not in NO_SCORE_NAMES and _has_classes(part)
    }
    if candidates:
        return _choose(output, candidates, n_labels)
    for name in EMBEDDING_NAMES:
        if isinstance(parts.get(name), Tensor) and _has_classes(parts[name]):
            return ScorePart((name,), embedding=f"its output has {_listed(output)}, and no class scores")
    if "last_hidden_state" in parts:
        raise TargetError(
            f"the network returns an embedding, not class scores: its output has {_listed(output)}. "
            + USE_OUTPUT.format("such as output=lambda output: output.last_hidden_state.mean(1), with a target")
        )
    inner = [
        ScorePart((key, *(part.path or ())), part.embedding, part.reason)
        for key, value in parts.items()
        if str(key) not in NO_SCORE_NAMES and (part := _part_inside(value, n_labels)) is not None
    ]
    if len(inner) == 1:
        return inner[0]
    found = type(output).__name__ if not parts else f"{type(output).__name__} with {_listed(output)}"
    raise TargetError(
        f"class scores have the shape (images, classes), but the network returned {found}. "
        + USE_OUTPUT.format("where output is a key, an index or a callable")
    )


def as_class_scores(selected: Any, n_images: int | None = None) -> Tensor:
    """Return the selected part as class scores `(b, k)`, at least float32.

    `(b,)` becomes `(b, 1)`, and `(b, k, 1, 1)`, as fully convolutional classifiers return it, `(b, k)`.

    Args:
        selected: The selected part of the output.
        n_images: Number of images in the network's inputs; None if unknown.

    Raises:
        TargetError: The part has another shape, or not one row per image.
    """
    if not isinstance(selected, Tensor):
        raise TargetError(
            f"class scores are a tensor (images, classes), but the network returned {type(selected).__name__}. "
            + USE_OUTPUT.format("where output is a key, an index or a callable")
        )
    shape = tuple(selected.shape)
    scores = selected.reshape(1) if selected.ndim == 0 and n_images in (None, 1) else selected
    scores = scores[:, None] if scores.ndim == 1 else _flattened(scores)
    if scores.ndim != 2 or not scores.shape[1]:
        raise TargetError(
            f"class scores have the shape (images, classes), but the network returned {shape}. "
            + USE_OUTPUT.format("where output is a key, an index or a callable that returns them")
        )
    if n_images is not None and len(scores) != n_images:
        raise TargetError(
            f"class scores have one row per image, but the network returned {shape} for {n_images} "
            f"image{'s' * (n_images != 1)}: these are no class scores. "
            + USE_OUTPUT.format("where output is a key, an index or a callable that returns them")
        )
    if not scores.is_floating_point():
        raise TargetError(f"class scores are floating-point numbers, but the network returned {scores.dtype} {shape}.")
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def unit_norm(scores: Tensor) -> bool:
    """Return whether all rows `(b, k)` have length 1 and negative entries, as normalised embeddings have."""
    rows = scores.detach().double()
    close = (rows.norm(dim=1) - 1).abs().max() < 1e-3
    return rows.shape[1] > 2 and bool(close) and bool((rows < 0).any(1).all())


def _named_part(output: Any, selector: str | int) -> nested.Path:
    children = {str(key): key for key, _ in nested.children(output)}
    if str(selector) in children:
        return (children[str(selector)],)
    if isinstance(selector, str) and getattr(output, selector, None) is not None and not isinstance(output, Tensor):
        return (selector,)
    raise TargetError(f"the network's output has no part {selector!r}; it has {', '.join(children) or 'no parts'}.")


def _check_no_detector(output: Any) -> None:
    items = output if isinstance(output, list | tuple) and output else [output]
    for item in items:
        names = {str(key) for key in _parts(item)}
        if names & DETECTION_NAMES:
            raise TargetError(_DETECTOR.format(", ".join(sorted(names))))


def _part_inside(value: Any, n_labels: int) -> ScorePart | None:
    """Return the class scores inside a tuple, list or dict of an output; None where there are none."""
    if isinstance(value, Tensor) or next(iter(nested.children(value)), None) is None:
        return None
    try:
        return find_part(value, n_labels=n_labels)
    except TargetError:
        return None


def _choose(output: Any, candidates: Mapping[Any, Tensor], n_labels: int) -> ScorePart:
    """Return the part that holds the class scores, of parts that all have the shape of class scores."""
    if len(candidates) == 1:
        (key,) = candidates
        return ScorePart((key,), reason=f"the only part of the output with one row per image, {key!r}")
    keys = list(candidates)
    for key in keys:
        others = [other for other in keys if other != key]
        relations = [_relation(candidates[key], candidates[other]) for other in others]
        if all(relations):
            return ScorePart((key,), reason=f"the part {key!r}; the others are {' and '.join(map(str, relations))}")
    if n_labels:
        fitting = [key for key in keys if _flattened(candidates[key]).shape[-1] == n_labels]
        if len(fitting) == 1:
            return ScorePart((fitting[0],), reason=f"the only part with {n_labels} columns, as many as class names")
    example = f"output={keys[0]!r}"
    raise TargetError(
        f"{len(keys)} parts of the network's output could be class scores: {_listed(output)}. "
        + USE_OUTPUT.format(f"such as {example}")
    )


def _relation(scores: Tensor, other: Tensor) -> str:
    """Return what `other` is if it is computed from these class scores alone, else ""."""
    if scores.shape != other.shape:
        return ""
    activation = final_activation(other)
    a, b = (t.detach().double() for t in (scores, other))
    if activation is not None and torch.allclose(activation.inputs.detach().double(), a):
        return f"its {activation.name}"
    if torch.equal(a, b):
        return "equal to it"
    flat, flat_other = (t if t.ndim == 1 else _flattened(t) for t in (a, b))
    functions: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
        ("softmax", lambda x: apply_activation("softmax", x)),
        ("log_softmax", lambda x: apply_activation("log_softmax", x)),
        ("sigmoid", lambda x: apply_activation("sigmoid", x)),
    )
    for name, function in functions:
        if (flat.ndim == 2 or name == "sigmoid") and torch.allclose(function(flat), flat_other, rtol=1e-3, atol=1e-5):
            return f"its {name}"
    return ""


def _parts(output: Any) -> dict[Any, Any]:
    """Return the parts of an output by key, index or attribute name; those of a named tuple by their names."""
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return dict(zip(output._fields, output, strict=True))
    return dict(nested.children(output))


def _flattened(tensor: Tensor) -> Tensor:
    """Flatten `(b, k, 1, 1)` to `(b, k)`."""
    return tensor.flatten(1) if tensor.ndim > 2 and all(size == 1 for size in tensor.shape[2:]) else tensor


def _has_classes(part: Tensor) -> bool:
    return part.is_floating_point() and part.numel() > 0 and (part.ndim == 1 or _flattened(part).ndim == 2)


def _listed(output: Any) -> str:
    """Return the parts of an output as text, with their shapes."""
    parts = [
        f"{key!r} {tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__}"
        for key, part in _parts(output).items()
        if part is not None
    ]
    return ", ".join(parts) or f"no parts ({type(output).__name__})"
