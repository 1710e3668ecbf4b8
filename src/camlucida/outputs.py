"""What goes into a network and what comes out of it: placed on its device, read as class scores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import structure
from camlucida.errors import TargetError
from camlucida.models.model import Output


def class_scores(output: Any, reading: Output = None) -> Tensor:
    """The class scores (b, k) in what a network gave out, at least float32.

    reading    a key or index of the output, a callable, or None: `.logits`, ["logits"], ["out"], else the first
               (b, k) tensor. Raises `TargetError` where there is none.
    """
    found: Any
    if callable(reading):
        found = reading(output)
    elif reading is not None:
        parts = {str(key): part for key, part in structure.children(output)}
        found = parts.get(str(reading))
        found = getattr(output, str(reading), None) if found is None else found
        if found is None:
            raise TargetError(f"the network's output has no part {reading!r}; it has {', '.join(parts) or 'no parts'}.")
    else:
        parts = {str(key): part for key, part in structure.children(output)}
        named = [parts[key] for key in ("logits", "out") if isinstance(parts.get(key), Tensor)]
        flat = [t for _, t in structure.tensors(output) if t.is_floating_point() and _flat(t).ndim == 2]
        found = (named or flat or [output])[0]
    if not isinstance(found, Tensor) or _flat(found).ndim != 2:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise TargetError(
            f"class scores have the shape (images, classes), but the network gave {shape}. "
            "Say which part of the output they are with wrap(…, output=key or callable)."
        )
    scores = _flat(found)
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def _flat(tensor: Tensor) -> Tensor:
    """(b, k, 1, 1), as fully convolutional classifiers give it, is (b, k)."""
    return tensor.flatten(1) if tensor.ndim > 2 and tensor[0].numel() == tensor.shape[1] else tensor


def to_network(network: nn.Module, inputs: Any) -> Any:
    """The inputs on the network's device and in its precision, cut off from any graph."""
    weight = next((p for p in network.parameters() if p.is_floating_point()), None)

    def place(_: Any, tensor: Tensor) -> Tensor:
        if weight is None:
            return tensor.detach()
        return tensor.detach().to(weight.device, weight.dtype if tensor.is_floating_point() else None)

    with torch.inference_mode(False), torch.no_grad():
        return structure.transform(inputs, place)
