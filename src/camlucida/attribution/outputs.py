"""Move inputs to the network's device and precision, and read class scores from its output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from camlucida.attribution.output_parts import as_class_scores, find_part
from camlucida.engine import nested
from camlucida.models.model import Output


def class_scores(output: Any, selector: Output = None, *, n_images: int | None = None, n_labels: int = 0) -> Tensor:
    """Return the class scores `(b, k)` in the output of a network, at least float32, as the network returned them.

    Args:
        output: The output of the network.
        selector: A key or index of the output, or a callable; None for `.logits`, ["logits"] or ["out"], else the only
            tensor with one row per image.
        n_images: Number of images in the network's inputs; None if unknown.
        n_labels: Number of class names, which decides between parts that fit equally well; 0 if unknown.

    Raises:
        TargetError: The output has no such part, several parts fit, the network is a detector, or the part is not of
            the shape (b, k) with one row per image.
    """
    part = find_part(output, selector, n_labels=n_labels)
    return as_class_scores(part.select(output, selector), n_images)


def to_network(network: nn.Module, inputs: Any) -> Any:
    """Move inputs to the network's device and precision, detached from any graph."""
    weight = next((p for p in network.parameters() if p.is_floating_point()), None)

    def move(_: Any, tensor: Tensor) -> Tensor:
        if weight is None:
            return tensor.detach()
        return tensor.detach().to(weight.device, weight.dtype if tensor.is_floating_point() else None)

    with torch.inference_mode(False), torch.no_grad():
        return nested.transform(inputs, move)
