"""Check with numbers that the output of a network is class scores per pixel: it must move with the image.

An output `(b, k, h, w)` may as well be a grid of features, of boxes, or an image whose axes are transposed. A patch of
noise is put into four places of the network input, and the centre of the change in the output must follow it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError, TargetError
from camlucida.models.segmentation.pixel_scores import Key, dense_scores

if TYPE_CHECKING:
    from camlucida.models.model import Model

MIN_SHIFT = 0.1
"""Least distance, in fractions of the side, between the centres of the changes that patches on two sides cause.
The patches are 0.5 of the side apart; a network whose output does not move returns 0."""
_checked: weakref.WeakKeyDictionary[nn.Module, dict[Any, float]] = weakref.WeakKeyDictionary()


def check_dense(
    model: Model, inputs: Tensor, key: Key, is_known: bool = False, is_multilabel: bool = False
) -> tuple[Tensor, float]:
    """Return the class scores per pixel `(1, k, h, w)` of an image, after a check that they are such.

    The check runs once per network and size of the input. Returned beside them is the score from which on a network
    with one channel, or one whose classes do not exclude each other, predicts a class: 0 for logits, 0.5 for
    probabilities.

    Args:
        model: The model, whose network is in eval mode and runs without side effects.
        inputs: Network input `(1, c, H, W)`.
        key: The part of the output; None to find it.
        is_known: Whether the network is of a library whose output is documented as class scores per pixel. It is then
            refused only if the change moves the other way: with random weights it may not move at all.
        is_multilabel: Whether the classes of a pixel do not exclude each other.

    Raises:
        TargetError: The output has another shape than class scores per pixel.
        ModelError: The output does not move with the image, or fewer classes are named than it has.
    """
    network = model.network
    dense = dense_scores(network(inputs), key)
    n_classes, named = dense.shape[1], len(model.labels)
    if named and named != n_classes and not (n_classes == 1 and named == 2):
        raise ModelError(f"{named} class names are given, and the network returns scores of {n_classes} classes.")
    done = _checked.setdefault(network, {})
    is_thresholded = n_classes == 1 or is_multilabel
    mark = (tuple(inputs.shape), tuple(dense.shape), key, is_thresholded)
    if mark not in done:
        _check_moves(network, inputs, dense, key, -MIN_SHIFT if is_known else MIN_SHIFT)
        done[mark] = 0.5 if is_thresholded and _is_probability(network, inputs, dense, key) else 0.0
    return dense, done[mark]


def _is_probability(network: nn.Module, inputs: Tensor, dense: Tensor, key: Key) -> bool:
    """Return whether all values lie within [0, 1], also for inputs so large that logits would leave that range."""
    values = [dense, *(dense_scores(network(inputs * scale), key) for scale in (30.0, -30.0))]
    return all(bool(((v >= 0) & (v <= 1)).all()) for v in values) and any(bool((v > 0).any()) for v in values)


def _check_moves(network: nn.Module, inputs: Tensor, dense: Tensor, key: Key, least: float) -> None:
    height, width = inputs.shape[-2:]
    shape = tuple(dense.shape)
    if min(shape[2:]) < 2:
        raise TargetError(
            f"the network returned {shape}: class scores per pixel have a grid of at least 2 × 2. If these are the "
            "scores of the whole image, leave task='segmentation' out."
        )
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((height // 4 or 1, width // 4 or 1), generator=generator).to(inputs)
    spread = float(inputs.std()) or 1.0
    centres = {}
    for row in (0, 1):
        for column in (0, 1):
            top, left = (height * (1 + 4 * row)) // 8, (width * (1 + 4 * column)) // 8
            changed = inputs.clone()
            changed[..., top : top + noise.shape[0], left : left + noise.shape[1]] += 2 * spread * noise
            difference = (dense_scores(network(changed), key) - dense).double()
            local = difference - difference.mean((2, 3), keepdim=True)  # without what global pooling adds everywhere
            centres[row, column] = _centre(local.square().sum((0, 1)))
    down = min(centres[1, c][0] - centres[0, c][0] for c in (0, 1))
    right = min(centres[r, 1][1] - centres[r, 0][1] for r in (0, 1))
    if not (down > least and right > least):
        raise ModelError(
            f"the output {shape} of {type(network).__name__} does not move with the image: when a patch moves by half "
            f"the image's sides, the change in the output moves by {down:.2f} of its height and {right:.2f} of its "
            "width, so it is not class scores per pixel (images, classes, height, width). Say which part of the output "
            "is: wrap(network, task='segmentation', output=…)."
        )


def _centre(change: Tensor) -> tuple[float, float]:
    """Return the (row, column) of the centre of mass of a change `(h, w)`, in fractions of the sides."""
    total = float(change.sum())
    if not total > 0:
        return 0.5, 0.5
    rows, columns = (torch.arange(n, dtype=change.dtype, device=change.device).add(0.5) / n for n in change.shape)
    return float((change.sum(1) * rows).sum()) / total, float((change.sum(0) * columns).sum()) / total
