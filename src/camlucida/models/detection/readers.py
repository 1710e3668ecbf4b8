"""Read one detection, or a whole image, from the candidates of a detector, as class scores `(b, k)`.

Methods and tests perturb the image, and the detector then returns other candidates. For each image, the reader takes
the candidate that is most likely the same object: of those whose box has at least `min_iou` intersection over union
with the reference box, the one with the highest score of the class, as D-RISE (Petsiuk et al., CVPR 2021) pairs
detections. If no box is close enough, it takes the one with the highest intersection over union, and adds
log(IoU / min_iou), a negative number, to its class scores: small probabilities are then multiplied by IoU / min_iou, as
D-RISE multiplies by the IoU. The choice has no gradient; the scores and the box of the chosen candidate have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlucida.models.detection.candidates import Box, Candidates, Detection, box_iou

MIN_IOU = 0.5
"""Intersection over union from which two boxes are the same object, as in PASCAL VOC."""
LOWEST_IOU = 1e-6
"""Intersection over union that boxes without intersection are given, so that its logarithm is finite."""
EDGES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class ImageScores:
    """Class scores of the whole image: the maximum over the candidates, as in multi-label classification."""

    def __call__(self, output: Any) -> Tensor:
        """Return the class scores `(b, k)`."""
        return Candidates.of(output).scores.amax(1)


@dataclass(frozen=True)
class BoxScores:
    """Class scores of the candidate that matches a box.

    Attributes:
        box: The reference box, in pixels of the network input.
        index: The class whose scores and boxes choose the candidate.
        min_iou: Intersection over union from which a candidate matches.
    """

    box: Box
    index: int
    min_iou: float = MIN_IOU

    def __call__(self, output: Any) -> Tensor:
        """Return the class scores `(b, k)`."""
        candidates = Candidates.of(output)
        rows, overlap = self.match(candidates)
        scores = candidates.scores[torch.arange(len(rows), device=rows.device), rows]
        penalty = (overlap.clamp_min(LOWEST_IOU) / self.min_iou).log().clamp_max(0)
        return scores + penalty[:, None].to(scores)

    def match(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        """Return the index `(b,)` of the matching candidate of each image, and its intersection over union `(b,)`."""
        scores = candidates.scores[:, :, self.index].detach()
        boxes = candidates.boxes_of(self.index).detach().float()
        overlap = box_iou(boxes, torch.tensor(self.box, device=boxes.device))
        close = overlap >= self.min_iou
        by_score = scores.masked_fill(~close, -torch.inf).argmax(1)
        rows = torch.where(close.any(1), by_score, overlap.argmax(1))
        return rows, overlap.gather(1, rows[:, None])[:, 0]


@dataclass(frozen=True)
class BoxEdge:
    """The coordinate of one edge of the candidate that matches a box, as a value to explain.

    Attributes:
        scores: Chooses the candidate.
        edge: Index of the edge in `EDGES`.
    """

    scores: BoxScores
    edge: int

    def __call__(self, output: Any) -> Tensor:
        """Return the coordinates `(b, 1)`, in pixels of the network input."""
        candidates = Candidates.of(output)
        rows, _ = self.scores.match(candidates)
        boxes = candidates.boxes_of(self.scores.index)
        return boxes[torch.arange(len(rows), device=rows.device), rows, self.edge][:, None]


def reader_of(candidates: Candidates, detection: Detection) -> BoxScores:
    """Return the reader of a detection, which finds exactly it in the image that it was detected in.

    Where a more probable candidate of the class is as close, as after a chain of suppressions, the reader asks for more
    intersection over union than `MIN_IOU`.
    """
    scores = candidates.scores[0, :, detection.index].detach()
    boxes = candidates.boxes_of(detection.index)[0].detach().float()
    better = box_iou(boxes, torch.tensor(detection.box, device=boxes.device))[scores > detection.score]
    close = float(better.max()) if len(better) else 0.0
    min_iou = MIN_IOU if close < MIN_IOU else min((close + 1) / 2, 1 - 1e-6)
    return BoxScores(detection.box, detection.index, min_iou)
