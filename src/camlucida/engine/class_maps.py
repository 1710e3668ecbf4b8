"""Class maps: outputs of layers that are the class scores already, as one map (h, w) per class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

N_CLASSES_TESTED, MAX_CLASSES_TESTED = 3, 24
"""Number of classes that are tested for a class map, and of those that are tried to find as many with a gradient.

The score of a detector's class is that of one box, which one of several heads returned.
"""


def find_class_maps(scores: Tensor, returned: dict[int, Tensor], gradients: dict[int, Tensor | None]) -> set[int]:
    """Return the positions of outputs (b, c, h, w) in which the score of every class depends on one channel of its own.

    Such an output is the class scores already, before they are resized or averaged: a segmentation head, the last
    convolution of SqueezeNet, a detection head.
    """
    n_classes = scores.shape[1]
    possible = {
        position: returned[position]
        for position, gradient in gradients.items()
        if gradient is not None
        and gradient.ndim >= 4
        and gradient.shape[1] >= n_classes
        and 0 < len(_used_channels(gradient)) <= n_classes
    }
    if n_classes == 1:
        return {position for position, tensor in possible.items() if tensor.shape[1] == 1}
    used: dict[int, list[set[int]]] = {position: [] for position in possible}
    for k in torch.linspace(0, n_classes - 1, min(n_classes, MAX_CLASSES_TESTED), dtype=torch.float32).long().tolist():
        if all(sum(map(bool, of_classes)) >= N_CLASSES_TESTED for of_classes in used.values()):
            break
        gradient_of_class = torch.autograd.grad(
            scores[:, k].sum(), list(possible.values()), retain_graph=True, allow_unused=True
        )
        for position, gradient in zip(possible, gradient_of_class, strict=True):
            used[position].append(set() if gradient is None else _used_channels(gradient))
    return {position for position, channels in used.items() if _are_separate(channels)}


def _used_channels(gradient: Tensor) -> set[int]:
    """Return the channels of a gradient (b, c, *grid) that are not zero."""
    return set(gradient.abs().transpose(0, 1).flatten(1).amax(1).nonzero()[:, 0].tolist())


def _are_separate(channels: Sequence[set[int]]) -> bool:
    """Return whether each class uses at most one channel, and no two classes the same."""
    used = [channel for of_class in channels for channel in of_class]
    return bool(used) and all(len(of_class) <= 1 for of_class in channels) and len(set(used)) == len(used)
