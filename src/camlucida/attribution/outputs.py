"""Move inputs to the network's device and precision, and read class scores from its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.errors import TargetError
from camlucida.models.model import Output


def class_scores(output: Any, selector: Output = None) -> Tensor:
    """Return the class scores `(b, k)` in the output of a network, at least float32.

    Args:
        output: The output of the network.
        selector: A key or index of the output, or a callable; None for `.logits`, ["logits"] or ["out"], else the first
            tensor `(b, k)`.

    Raises:
        TargetError: The output has no such part, or the part is not of the shape (b, k).
    """
    selected: Any
    if callable(selector):
        selected = selector(output)
    elif selector is not None:
        parts = {str(key): part for key, part in nested.children(output)}
        selected = parts.get(str(selector))
        selected = getattr(output, str(selector), None) if selected is None else selected
        if selected is None:
            raise TargetError(
                f"the network's output has no part {selector!r}; it has {', '.join(parts) or 'no parts'}."
            )
    else:
        parts = {str(key): part for key, part in nested.children(output)}
        by_name = [parts[key] for key in ("logits", "out") if isinstance(parts.get(key), Tensor)]
        candidates = [t for _, t in nested.tensors(output) if t.is_floating_point() and _flattened(t).ndim == 2]
        selected = (by_name or candidates or [output])[0]
    if not isinstance(selected, Tensor) or _flattened(selected).ndim != 2:
        shape = tuple(selected.shape) if isinstance(selected, Tensor) else type(selected).__name__
        raise TargetError(
            f"class scores have the shape (images, classes), but the network returned {shape}. "
            "Select the part of the output that holds them with wrap(…, output=key or callable)."
        )
    scores = _flattened(selected)
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def _flattened(tensor: Tensor) -> Tensor:
    """Flatten `(b, k, 1, 1)`, as fully convolutional classifiers return it, to `(b, k)`."""
    return tensor.flatten(1) if tensor.ndim > 2 and tensor[0].numel() == tensor.shape[1] else tensor


def to_network(network: nn.Module, inputs: Any) -> Any:
    """Move inputs to the network's device and precision, detached from any graph."""
    weight = next((p for p in network.parameters() if p.is_floating_point()), None)

    def move(_: Any, tensor: Tensor) -> Tensor:
        if weight is None:
            return tensor.detach()
        return tensor.detach().to(weight.device, weight.dtype if tensor.is_floating_point() else None)

    with torch.inference_mode(False), torch.no_grad():
        return nested.transform(inputs, move)


@dataclass(frozen=True)
class ScoreSelector:
    """Reads the class scores from an output, and is equal to other readers of the same part.

    Attributes:
        selector: As in `class_scores`.
    """

    selector: Output = None

    def __call__(self, output: Any) -> Tensor:
        return class_scores(output, self.selector)
