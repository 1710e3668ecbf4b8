"""Candidates of a detector before non-maximum suppression, and the detections that remain after it.

A detector is a network that returns a dict with

- "boxes": `(b, n, 4)` as (left, top, right, bottom) in pixels of the network input, or `(b, n, k, 4)` where the
  detector has one box per class (Faster R-CNN);
- "scores": `(b, n, k)`, the log-odds of each class without the background. Their sigmoid is the detector's own
  probability: the logit itself for detectors with a sigmoid per class, and `log_odds` of the logits for a softmax.

Rows that an image does not have, because another one has more, have the box (0, 0, 0, 0) and `PADDING_SCORE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.errors import TargetError
from camlucida.models.triton_conflict import prevent_abort

PADDING_SCORE = -30.0
"""Log-odds of rows that an image does not have: a probability of 1e-13."""
Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the network input."""


class Detector(nn.Module):
    """A network that returns candidates in the format of this module; `hires_cam` is its default method.

    Attributes:
        fixed_order: Whether the candidate of a number belongs to the same anchor, grid cell or object query whatever
            the image and the weights. Not so where candidates are proposals that the network selects.
    """

    fixed_order: bool = False


@dataclass(frozen=True, eq=False)
class Candidates:
    """The candidates of a batch.

    Attributes:
        boxes: Boxes `(b, n, 4)`, or `(b, n, k, 4)` with one per class.
        scores: Log-odds `(b, n, k)`.
    """

    boxes: Tensor
    scores: Tensor

    @classmethod
    def of(cls, output: Any) -> Candidates:
        """Return the candidates in the output of a detector.

        Raises:
            TargetError: The output has another format.
        """
        boxes, scores = (output.get(key) if isinstance(output, dict) else None for key in ("boxes", "scores"))
        if isinstance(boxes, Tensor) and isinstance(scores, Tensor) and scores.ndim == 3:
            b, n, k = scores.shape
            if tuple(boxes.shape) in ((b, n, 4), (b, n, k, 4)) and n:
                return cls(boxes, scores)
        found = (
            f"{type(boxes).__name__} {tuple(getattr(boxes, 'shape', ()))} and {type(scores).__name__} "
            f"{tuple(getattr(scores, 'shape', ()))}"
            if isinstance(output, dict)
            else type(output).__name__
        )
        raise TargetError(
            "a detector returns a dict with 'boxes' (b, n, 4) or (b, n, k, 4) in pixels of the network input and "
            f"'scores' (b, n, k) as log-odds, with at least one candidate; this one returned {found}."
        )

    def boxes_of(self, index: int) -> Tensor:
        """Return the boxes `(b, n, 4)` of a class."""
        return self.boxes if self.boxes.ndim == 3 else self.boxes[:, :, index]


@dataclass(frozen=True)
class Detection:
    """A candidate of one image for one class.

    Attributes:
        row: Index of the candidate.
        index: Index of the class.
        box: Its box.
        score: Log-odds of the class.
    """

    row: int
    index: int
    box: Box
    score: float

    @property
    def probability(self) -> float:
        """Return the detector's probability of the class."""
        return float(torch.tensor(self.score, dtype=torch.float64).sigmoid())


def log_odds(logits: Tensor) -> Tensor:
    """Return the log-odds of each class of a softmax, whose sigmoid is the softmax probability.

    z_k - log sum_{j≠k} exp z_j, computed without cancellation also where a probability is close to 0 or 1.

    Args:
        logits: Logits `(..., k)`, the background included; k is at least 2.
    """
    total = logits.logsumexp(-1, keepdim=True)
    top = logits.argmax(-1, keepdim=True)
    is_top = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, top, True)
    without_top = logits.masked_fill(is_top, -torch.inf).logsumexp(-1, keepdim=True)
    # a class that is not the largest has a probability of at most 1/2, so that log1p does not cancel
    of_others = total + torch.log1p(-(logits - total).masked_fill(is_top, -1.0).exp())
    return logits - torch.where(is_top, without_top, of_others)


def pad_candidates(items: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return the output of a detector for images with different numbers of candidates.

    Args:
        items: Boxes `(n, 4)` or `(n, k, 4)`, and scores `(n, k)`, of each image.
    """
    length = max(1, *(len(scores) for _, scores in items))

    def padded(tensor: Tensor, value: float) -> Tensor:
        missing = tensor.new_full((length - len(tensor), *tensor.shape[1:]), value)
        return torch.cat([tensor, missing])

    return {
        "boxes": torch.stack([padded(boxes, 0.0) for boxes, _ in items]),
        "scores": torch.stack([padded(scores, PADDING_SCORE) for _, scores in items]),
    }


def detections(
    candidates: Candidates, threshold: float, iou: float, n: int = 20, min_px: float = 0.01, n_before: int = 0
) -> list[Detection]:
    """Return the detections of the first image: what non-maximum suppression per class leaves, most probable first.

    Args:
        candidates: Candidates of a batch.
        threshold: Smallest probability.
        iou: Intersection over union with a more probable detection of the same class above which a candidate is
            suppressed; 1 for detectors without suppression.
        n: Maximum number of detections.
        min_px: Boxes that are narrower or lower are ignored.
        n_before: Number of most probable candidates that are compared; 0 for all.
    """
    scores = candidates.scores[0].detach().float()
    rows, classes = (scores.sigmoid() > threshold).nonzero(as_tuple=True)
    all_boxes = candidates.boxes[0].detach().float()
    boxes = all_boxes[rows] if all_boxes.ndim == 2 else all_boxes[rows, classes]
    values = scores[rows, classes]
    kept = ((boxes[:, 2:] - boxes[:, :2]) >= min_px).all(1).nonzero()[:, 0]
    if n_before:
        kept = kept[values[kept].argsort(descending=True, stable=True)[:n_before]]
    rows, classes, boxes, values = (t[kept] for t in (rows, classes, boxes, values))
    if iou < 1 and len(values):
        kept = _suppress(boxes, values, classes, iou)
    else:
        kept = values.argsort(descending=True, stable=True)
    return [Detection(int(rows[i]), int(classes[i]), _box(boxes[i]), float(values[i])) for i in kept[:n].tolist()]


def detection_at(candidates: Candidates, row: int, index: int) -> Detection:
    """Return a candidate of the first image as a detection of a class."""
    return Detection(row, index, _box(candidates.boxes_of(index)[0, row]), float(candidates.scores[0, row, index]))


def box_iou(boxes: Tensor, reference: Tensor) -> Tensor:
    """Return the intersection over union `(..., )` of boxes `(..., 4)` with a reference box `(4,)`."""
    low, high = torch.maximum(boxes[..., :2], reference[:2]), torch.minimum(boxes[..., 2:], reference[2:])
    shared = (high - low).clamp_min(0).prod(-1)
    areas = (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1) + (reference[2:] - reference[:2]).prod()
    return shared / (areas - shared).clamp_min(1e-9)


def _suppress(boxes: Tensor, values: Tensor, classes: Tensor, iou: float) -> Tensor:
    prevent_abort()
    from torchvision.ops import batched_nms

    kept: Tensor = batched_nms(boxes, values, classes, iou)
    return kept


def _box(box: Tensor) -> Box:
    left, top, right, bottom = box.detach().tolist()
    return left, top, right, bottom
