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

from camlucida.errors import TargetError
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

    def pinned(self, output: Any) -> RowScores | None:
        """Return the reader of the same candidate by its number, where this reader adds no penalty to its scores.

        Args:
            output: Output of the network for the image of the box, alone.
        """
        candidates = Candidates.of(output)
        rows, overlap = self.match(candidates)
        if len(rows) != 1 or float(overlap[0]) < self.min_iou:
            return None
        return RowScores(int(rows[0]), candidates.scores.shape[1])


@dataclass(frozen=True)
class RowScores:
    """Class scores of one candidate by its number, for a detector whose candidates have a fixed order.

    With other weights it is the candidate of the same anchor, cell or query, wherever its box is then.

    Attributes:
        row: Number of the candidate.
        n: Number of candidates.
    """

    row: int
    n: int

    def __call__(self, output: Any) -> Tensor:
        """Return the class scores `(b, k)`.

        Raises:
            TargetError: The network returns another number of candidates.
        """
        return self.candidates_of(output).scores[:, self.row]

    def candidates_of(self, output: Any) -> Candidates:
        """Return the candidates, after checking that they are as many as before."""
        candidates = Candidates.of(output)
        if candidates.scores.shape[1] != self.n:
            raise TargetError(
                f"the detector returned {candidates.scores.shape[1]} candidates and {self.n} before: their order is "
                "not fixed, so that a candidate cannot be followed by its number."
            )
        return candidates


@dataclass(frozen=True)
class RowEdge:
    """The coordinate of one edge of a candidate by its number, see `RowScores`.

    Attributes:
        scores: Chooses the candidate.
        index: The class, where boxes differ by class.
        edge: Index of the edge in `EDGES`.
    """

    scores: RowScores
    index: int
    edge: int

    def __call__(self, output: Any) -> Tensor:
        """Return the coordinates `(b, 1)`, in pixels of the network input."""
        boxes = self.scores.candidates_of(output).boxes_of(self.index)
        return boxes[:, self.scores.row, self.edge][:, None]


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

    def pinned(self, output: Any) -> RowEdge | None:
        """Return the reader of the same candidate by its number, see `BoxScores.pinned`."""
        scores = self.scores.pinned(output)
        return None if scores is None else RowEdge(scores, self.scores.index, self.edge)


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
